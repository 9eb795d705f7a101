//! Tables with boxes: our own kind, RSNA's and NIH's.

use care_data::import::{Options, PatientId};

use super::{check_reasons, folder, images};
use crate::{import, test_data, write};

#[test]
fn tables_with_boxes_both_ways() {
    for (table, expected) in [
        (
            "image,class,x,y,width,height\na/1.png,nv,1,2,3,4\na/1.png,nv,0,0,2.5,2\n",
            vec![[1.0, 2.0, 4.0, 6.0], [0.0, 0.0, 2.5, 2.0]],
        ),
        (
            "file;label;x1;y1;x2;y2;patient\n1;nv;1;2;4;6;P\n",
            vec![[1.0, 2.0, 4.0, 6.0]],
        ),
        (
            "filename,width,height,class,xmin,ymin,xmax,ymax\n1.jpg,20,10,nv,1,2,4,6\n",
            vec![[1.0, 2.0, 4.0, 6.0]],
        ),
        ("image,class,x,y,width,height\n1,nv,,,,\n", vec![]),
        (
            "image,class,x,y,width,height\n1,nv,4,4,-1,2\n./a/1.png,nv,5,5,0,0\n,nv,1,1,1,1\n",
            vec![],
        ),
    ] {
        let root = folder(&[("a/1.png", ""), ("t.csv", table)]);
        let found = import(root.path(), &Options::default()).unwrap();
        assert_eq!(images(&found), [("1.png", "nv", expected)], "{table}");
        let bad = if table.contains("-1") { 3 } else { 0 };
        assert_eq!(found.not_read.len(), bad, "{:?}", found.not_read);
        let patient = table.contains('P').then(|| PatientId::of_table("P"));
        assert_eq!(found.images[0].patient, patient);
    }
    let wrong_size = "filename,width,height,class,xmin,ymin,xmax,ymax\n1.jpg,40,20,nv,1,2,4,6\n";
    let root = folder(&[("a/1.png", ""), ("t.csv", wrong_size)]);
    let found = import(root.path(), &Options::default()).unwrap();
    check_reasons(&found.not_read, &["It takes 1 for 40 \u{d7} 20 pixels"]);
}

#[test]
fn rsna_with_and_without_its_details() {
    let labels = "patientId,x,y,width,height,Target\np1,2,3,4,5,1\np1,0.0,0.0,20.0,10.0,1\np2,,,,,0\np3,,,,,0\np4,,,,,0\n,,,,,1\n";
    let details = "patientId,class\np1,Lung Opacity\np1,Lung Opacity\np2,Normal\np3,No Lung Opacity / Not Normal\n";
    let mut files = vec![
        ("im/p1.png", ""),
        ("im/p2.png", ""),
        ("im/p3.jpg", ""),
        ("stage_2_train_labels.csv", labels),
    ];
    for with_details in [false, true] {
        if with_details {
            files.push(("stage_2_detailed_class_info.csv", details));
        }
        let root = folder(&files);
        let found = import(root.path(), &Options::default()).unwrap();
        let none = if with_details {
            ["Normal", "No Lung Opacity / Not Normal"]
        } else {
            ["No Lung Opacity"; 2]
        };
        let boxes = vec![[2.0, 3.0, 6.0, 8.0], [0.0, 0.0, 20.0, 10.0]];
        assert_eq!(
            images(&found),
            [
                ("p1.png", "Lung Opacity", boxes),
                ("p2.png", none[0], vec![]),
                ("p3.jpg", none[1], vec![])
            ]
        );
        let patients: Vec<_> = found
            .images
            .iter()
            .map(|it| it.patient.clone().unwrap())
            .collect();
        assert_eq!(patients, ["p1", "p2", "p3"].map(PatientId::of_table));
        check_reasons(
            &found.not_read,
            &[
                "Line 7 names no image or no class.",
                "1 of its images have no file, p4",
            ],
        );
    }
}

#[test]
fn the_rsna_sample() {
    let Some(folder) = test_data("rsna") else {
        return;
    };
    let found = import(&folder, &Options::default()).unwrap();
    assert_eq!((found.images.len(), found.not_read.len()), (20, 0));
    assert_eq!(
        found.images.iter().map(|it| it.boxes.len()).sum::<usize>(),
        36
    );
    let first = found
        .images
        .iter()
        .find(|it| it.path.to_string_lossy().contains("00436515"))
        .unwrap();
    let boxes: Vec<_> = first.boxes.iter().map(|rect| rect.xyxy()).collect();
    assert_eq!(
        boxes,
        [[264.0, 152.0, 477.0, 531.0], [562.0, 152.0, 818.0, 605.0]]
    );
    assert_eq!(first.class, "Lung Opacity");
}

#[test]
fn nih_knows_its_patients() {
    let table = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n00000001_000.png,Mass,1,2,3.5,4,,,\n\
        00000001_000.png,Mass,5,5,1,1,,,\n00000007_002.png,Nodule,0,0,1,1,,,\n";
    let entries = "Image Index,Finding Labels,Follow-up #,Patient ID\n00000001_000.png,Mass|Effusion,0,4711\n";
    let root = folder(&[
        ("images/00000001_000.png", ""),
        ("images/00000007_002.png", ""),
        ("BBox_List_2017.csv", table),
        ("Data_Entry_2017.csv", entries),
    ]);
    let found = import(root.path(), &Options::default()).unwrap();
    assert_eq!(
        images(&found),
        [
            (
                "00000001_000.png",
                "Mass",
                vec![[1.0, 2.0, 4.5, 6.0], [5.0, 5.0, 6.0, 6.0]]
            ),
            ("00000007_002.png", "Nodule", vec![[0.0, 0.0, 1.0, 1.0]]),
        ]
    );
    let patients: Vec<_> = found.images.iter().map(|it| it.patient.clone()).collect();
    let named = ["4711", "00000007"].map(|id| Some(PatientId::of_table(id)));
    assert_eq!(patients, named);
}

#[test]
fn a_line_that_is_not_utf_8_costs_itself() {
    let isic = "image_id,dx\n1,nv\n2,df\n";
    let rsna = "patientId,x,y,width,height,Target\n1,2,3,4,5,1\n2,,,,,0\n";
    let nih =
        "Image Index,Finding Label,Bbox [x,y,w,h],,,\n1.png,Mass,1,2,3,4\n2.png,Mass,1,2,3,4\n";
    for tables in [
        &[(
            "t.csv",
            "image,class,x,y,width,height\n1,nv,1,2,3,4\nü,nv,1,1,1,1\n2,df,0,0,2,2\n",
        )][..],
        &[("t.csv", "image;class\r\n1;nv\r\n2;Müttermal\r\n2;df\r\n")],
        &[("t.csv", "image_id,dx\n1,nv\nü,nv\n2,df\n")],
        &[
            ("t.csv", isic),
            (
                "boxes.csv",
                "image_id,x,y,width,height\n1,1,1,2,2\nü,1,1,2,2\n",
            ),
        ],
        &[(
            "stage_2_train_labels.csv",
            "patientId,x,y,width,height,Target\n1,2,3,4,5,1\nü,,,,,0\n2,,,,,0\n",
        )],
        &[
            ("stage_2_train_labels.csv", rsna),
            (
                "stage_2_detailed_class_info.csv",
                "patientId,class\n1,Lung Opacity\n2,ü\n2,Normal\n",
            ),
        ],
        &[(
            "BBox_List_2017.csv",
            "Image Index,Finding Label,Bbox [x,y,w,h],,,\n1.png,Mass,1,2,3,4\nü,Mass,1,2,3,4\n2.png,Mass,1,2,3,4\n",
        )],
        &[
            ("BBox_List_2017.csv", nih),
            (
                "Data_Entry_2017.csv",
                "Image Index,Patient ID\n1.png,7\nü,7\n",
            ),
        ],
    ] {
        let root = folder(&[("a/1.png", ""), ("a/2.png", "")]);
        for (name, text) in tables {
            let latin_1: Vec<u8> = text.chars().map(|c| c as u8).collect();
            write(&root.path().join(name), latin_1);
        }
        let found = import(&root.path().join(tables[0].0), &Options::default()).unwrap();
        assert_eq!(found.images.len(), 2, "{tables:?}: {:?}", found.not_read);
        check_reasons(&found.not_read, &["Line 3 is not UTF-8."]);
    }
}
