//! The shortcut alarm: where each model looks outside the boxes, over all test images of a class.

use std::hash::{DefaultHasher, Hash, Hasher};

use care_data::{BoundingBox, ImageId, ImageSize, Project};
use care_learn::AttentionMap;
use care_learn::shortcut::{
    Finding, Looked, MIN_IMAGES, OutsideAttention, Region, outside_attention,
};
use egui::{Align2, FontId, Rect, RichText, Role, Sense, Stroke, Ui, WidgetInfo, pos2, vec2};

use super::cases::{Cases, attention};
use super::shown::{From, Shown};
use super::strip::Strip;
use crate::background::Later;
use crate::format;
use crate::ui::tokens::{self, Tokens, radius, size};
use crate::ui::widgets::focus_ring;
use crate::ui::{Context, icons, overlay};

/// What one model looks at outside the boxes in images of one class.
pub(super) struct Seen {
    pub class: usize,
    pub model: usize,
    /// In the order in which they were looked at.
    images: Vec<ImageId>,
    pub outside: OutsideAttention,
}

/// Worked out on a thread of its own, as long as boxes and labels stay.
pub(super) struct Shortcuts {
    of: u64,
    seen: Later<Vec<Seen>>,
}

struct Looking {
    image: ImageId,
    map: AttentionMap,
    boxes: Vec<BoundingBox>,
    size: ImageSize,
}

impl Shortcuts {
    pub fn start(
        ctx: &egui::Context,
        from: From<'_>,
        cases: &Cases,
        project: &Project,
        before: Option<Self>,
    ) -> Self {
        let of = fingerprint(cases, project);
        if let Some(before) = before.filter(|before| before.of == of) {
            return before;
        }
        let mut work: Vec<(usize, usize, Vec<Looking>)> = Vec::new();
        for class in 0..cases.classes.len() {
            for (model, named) in cases.models.iter().enumerate() {
                let of_class = cases.all.iter().filter(|case| case.label == class);
                let looking = of_class.filter_map(|case| {
                    let seen = attention(from.run, from.other, named, case.seen(model)?)?;
                    let image = project.image(case.image)?;
                    Some(Looking {
                        image: case.image,
                        map: seen.map.clone(),
                        boxes: project.boxes(image.id).iter().map(|it| it.rect).collect(),
                        size: image.size,
                    })
                });
                work.push((class, model, looking.collect()));
            }
        }
        let seed = from.run.config.seed;
        let seen = Later::start("shortcuts", ctx, move || {
            let look = |(class, model, looking): (usize, usize, Vec<Looking>)| {
                let looked: Vec<Looked<'_>> = looking
                    .iter()
                    .map(|it| Looked {
                        map: &it.map,
                        boxes: &it.boxes,
                        size: it.size,
                    })
                    .collect();
                let outside = outside_attention(&looked, seed)?;
                Some(Seen {
                    class,
                    model,
                    images: looking.iter().map(|it| it.image).collect(),
                    outside,
                })
            };
            work.into_iter().filter_map(look).collect()
        });
        Self { of, seen }
    }

    /// Every alarm, a class's together.
    pub fn alarms(&mut self) -> Vec<(&Seen, &Finding)> {
        let seen = self.seen.get().into_iter().flatten();
        seen.flat_map(|seen| {
            let alarms = seen.outside.alarms().into_iter();
            alarms.map(move |finding| (seen, finding))
        })
        .collect()
    }
}

/// Of all that the alarm is made from.
fn fingerprint(cases: &Cases, project: &Project) -> u64 {
    let mut hasher = DefaultHasher::new();
    for model in &cases.models {
        (model.run, model.role).hash(&mut hasher);
    }
    for case in &cases.all {
        (case.image, case.label).hash(&mut hasher);
        for annotation in project.boxes(case.image) {
            annotation.rect.xyxy().map(f64::to_bits).hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// "In images of ... the control looks at the top border: ...": one alarm in words.
pub(super) fn in_words(cases: &Cases, seen: &Seen, finding: &Finding) -> String {
    // Never broken over two lines.
    let percent = |share: f64| format!("{:.0}\u{a0}%", 100.0 * share);
    format!(
        "In images of {} {} looks at {}: {} of its attention, where an even map would have {}; strongly in {} of {}.",
        cases.class_name(seen.class),
        cases.called(seen.model),
        finding.region.name(),
        percent(finding.share),
        percent(finding.even),
        format::count(finding.affected.len()),
        format::count(seen.outside.n as usize),
    )
}

/// What the search could not cover: a model in a class whose maps are too few, and the middle of images without boxes.
fn not_looked_at(cases: &Cases, all: &[Seen]) -> Vec<String> {
    let classes = 0..cases.classes.len();
    let seen = |class: usize| all.iter().filter(move |seen| seen.class == class);
    let left_out = classes.clone().filter_map(|class| {
        let is_missing = |model: &usize| !seen(class).any(|seen| seen.model == *model);
        let models: Vec<usize> = (0..cases.models.len()).filter(is_missing).collect();
        let name = cases.class_name(class).to_owned();
        if models.is_empty() {
            None
        } else if models.len() == cases.models.len() {
            Some(name)
        } else {
            let models: Vec<String> = models.iter().map(|it| cases.called(*it)).collect();
            Some(format!("{name} for {}", models.join(" and ")))
        }
    });
    let unboxed = classes.filter(|class| seen(*class).any(|it| it.outside.boxed < it.outside.n));
    let unboxed = unboxed.map(|class| cases.class_name(class).to_owned());
    let [left_out, unboxed] =
        [left_out.collect(), unboxed.collect()].map(|it: Vec<_>| it.join(", "));
    let mut cautions = Vec::new();
    if !left_out.is_empty() {
        cautions.push(format!(
            "Left out, with fewer than {MIN_IMAGES} test images whose maps say something: {left_out}."
        ));
    }
    if !unboxed.is_empty() {
        cautions.push(format!(
            "The middle was not judged where not all images have a box: {unboxed}."
        ));
    }
    cautions
}

pub(super) fn shortcuts_ui(ui: &mut Ui, cx: &mut Context<'_>, shown: &mut Shown) {
    let t = Tokens::of(ui);
    ui.set_max_width(ui.available_width());
    ui.spacing_mut().item_spacing.y = 8.0;
    let failed = shown.shortcuts.seen.has_failed();
    let Some(all) = shown.shortcuts.seen.get() else {
        ui.label(if failed {
            "This could not be worked out. Choose the run again to have it tried anew."
        } else {
            "Looking through the maps of the test images."
        });
        return;
    };
    if all.is_empty() {
        ui.label(format!(
            "No class has {MIN_IMAGES} test images whose maps say something, so nothing can be said."
        ));
        return;
    }
    let cases = &shown.cases;
    let alarms: Vec<(&Seen, &Finding)> = all
        .iter()
        .flat_map(|seen| {
            let alarms = seen.outside.alarms().into_iter();
            alarms.map(move |finding| (seen, finding))
        })
        .collect();
    let heading = match alarms.len() {
        0 => "No place away from the boxes was found that a model looks at again and again."
            .to_owned(),
        n => format!(
            "{} that may be a shortcut.",
            format::plural(n, "place", "places")
        ),
    };
    ui.label(
        RichText::new(heading)
            .text_style(egui::TextStyle::Heading)
            .color(t.text_strong),
    );
    let remark = "Attention more than one cell of the map away from every box, over all test images of a class laid over one another. Rulers, markers, burnt-in text and vignettes show here.";
    ui.scope(|ui| {
        ui.set_max_width(size::TEXT_MAX.min(ui.available_width()));
        let remark = RichText::new(remark).text_style(tokens::caption());
        ui.add(egui::Label::new(remark.color(t.text_weak)).wrap());
    });
    for caution in not_looked_at(cases, all) {
        ui.add(egui::Label::new(RichText::new(caution).color(t.text)).wrap());
    }
    let mut clicked: Option<Strip> = None;
    for (seen, finding) in &alarms {
        let text = in_words(cases, seen, finding);
        if alarm_ui(ui, &text).clicked() {
            clicked = Some(strip_of(cases, seen, finding.region));
        }
    }
    // One scale for all squares: most of what is outside is faint.
    let values = all.iter().flat_map(|seen| &seen.outside.mean.values);
    let strongest = values.copied().fold(0.0, f32::max).max(0.05);
    let note = format!(
        "The squares share one scale, whose end is a mean attention of {strongest:.2}. Lines: a sixth of the side; hover a place for its share, click it for its images."
    );
    ui.label(
        RichText::new(note)
            .text_style(tokens::caption())
            .color(t.text_weak),
    );
    let has_alarm = |class: usize| alarms.iter().any(|(seen, _)| seen.class == class);
    let mut classes: Vec<usize> = (0..cases.classes.len()).collect();
    classes.sort_by_key(|class| (!has_alarm(*class), !cases.classes[*class].rare));
    for class in classes {
        let of_class: Vec<&Seen> = all.iter().filter(|seen| seen.class == class).collect();
        if of_class.is_empty() {
            continue;
        }
        ui.add_space(4.0);
        let n = of_class.first().map_or(0, |seen| seen.outside.n as usize);
        ui.horizontal(|ui| {
            let (rect, _) = ui.allocate_exact_size(vec2(10.0, 20.0), Sense::hover());
            let color = cases.classes[class].color;
            crate::ui::widgets::class_dot(ui.painter(), t, rect.center(), color);
            let name = RichText::new(cases.class_name(class)).font(tokens::medium(13.0));
            ui.label(name.color(t.text_strong));
            let mut n = format::plural(n, "test image", "test images");
            if of_class
                .iter()
                .any(|seen| seen.outside.boxed < seen.outside.n)
            {
                n.push_str(", not all with a box: corners and borders only");
            }
            ui.label(
                RichText::new(n)
                    .text_style(tokens::caption())
                    .color(t.text_weak),
            );
        });
        // As many as there are models, whether or not each says something.
        let gap = 12.0;
        let columns = cases.models.len().max(1) as f32;
        let side = ((ui.available_width() + gap) / columns - gap)
            .clamp(72.0, 168.0)
            .round();
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing.x = gap;
            for seen in of_class {
                if let Some(region) = square_ui(ui, cx, cases, seen, side, strongest) {
                    clicked = Some(strip_of(cases, seen, region));
                }
            }
        });
    }
    if let Some(strip) = clicked {
        shown.picked = strip.images.first().copied();
        shown.strip = strip;
    }
}

fn strip_of(cases: &Cases, seen: &Seen, region: Region) -> Strip {
    let finding = seen.outside.finding(region);
    let affected = finding.into_iter().flat_map(|finding| &finding.affected);
    let images = affected.filter_map(|(place, _)| seen.images.get(*place).copied());
    let model = cases.models.get(seen.model).map_or("", |it| &it.name);
    Strip {
        cell: None,
        what: format!(
            "{model}: {}, {}",
            cases.class_name(seen.class),
            region.name()
        ),
        images: images.collect(),
    }
}

/// One alarm as a row to click.
fn alarm_ui(ui: &mut Ui, text: &str) -> egui::Response {
    let t = Tokens::of(ui);
    let width = ui.available_width();
    let galley = ui.painter().layout(
        text.to_owned(),
        FontId::proportional(13.0),
        t.text,
        (width - 48.0).min(size::TEXT_MAX),
    );
    let height = galley.size().y + 16.0;
    let (rect, response) = ui.allocate_exact_size(vec2(width, height), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, text));
    let fill = if response.hovered() {
        t.hover
    } else {
        t.raised
    };
    let painter = ui.painter();
    painter.rect_filled(rect, f32::from(radius::CONTROL), fill);
    painter.text(
        pos2(rect.left() + 12.0, rect.top() + 8.0),
        Align2::LEFT_TOP,
        icons::WARNING,
        tokens::icon(size::ICON),
        t.warning,
    );
    painter.galley(rect.min + vec2(36.0, 8.0), galley, t.text);
    focus_ring(ui, &response, radius::CONTROL);
    response.on_hover_text("Click: its images, the most affected first")
}

/// One model's mean attention outside the boxes on the square that all images are laid over, with the share of each region.
/// Returns the region that was clicked.
fn square_ui(
    ui: &mut Ui,
    cx: &mut Context<'_>,
    cases: &Cases,
    seen: &Seen,
    side: f32,
    strongest: f32,
) -> Option<Region> {
    let t = Tokens::of(ui);
    let model = cases.models.get(seen.model)?;
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = 4.0;
        let name = RichText::new(&model.name).font(tokens::medium(12.0));
        ui.label(name.color(t.role(model.role)));
        let (rect, response) = ui.allocate_exact_size(vec2(side, side), Sense::hover());
        let told = |region: Region| {
            let finding = seen.outside.finding(region)?;
            Some(format!(
                "{}, {}, {}: {:.0} % of the attention, an even map would have {:.0} %",
                model.name,
                cases.class_name(seen.class),
                region.name(),
                100.0 * finding.share,
                100.0 * finding.even
            ))
        };
        let spoken = format!(
            "{}, {}: mean attention outside the boxes",
            model.name,
            cases.class_name(seen.class)
        );
        response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &spoken));
        ui.painter()
            .rect_filled(rect, f32::from(radius::IMAGE), t.canvas);
        let mut hasher = DefaultHasher::new();
        ("outside", model.run, model.role, seen.class).hash(&mut hasher);
        let mean = &seen.outside.mean;
        for value in &mean.values {
            value.to_bits().hash(&mut hasher);
        }
        let map = overlay::Shown {
            key: hasher.finish(),
            map: mean,
            gain: 1.0 / strongest,
        };
        overlay::map_ui(ui.painter(), cx, rect, map, 1.0);
        let edges = [0.0, 1.0 / 6.0, 5.0 / 6.0, 1.0];
        let alarms: Vec<Region> = seen.outside.alarms().iter().map(|it| it.region).collect();
        let painter = ui.painter().clone();
        for edge in [edges[1], edges[2]] {
            let at = rect.lerp_inside(vec2(edge, edge));
            let stroke = Stroke::new(1.0, t.stroke_strong.gamma_multiply(0.5));
            painter.vline(at.x, rect.y_range(), stroke);
            painter.hline(rect.x_range(), at.y, stroke);
        }
        let mut clicked = None;
        for region in Region::ALL {
            let Some([row, column]) = region.cell() else {
                continue;
            };
            let cell = Rect::from_min_max(
                rect.lerp_inside(vec2(edges[column], edges[row])),
                rect.lerp_inside(vec2(edges[column + 1], edges[row + 1])),
            );
            let id = ui.scope_id().with((seen.class, seen.model, region));
            // The alarms above are the way of the Tab key.
            let response = ui.interact(cell, id, Sense::CLICK);
            let words = told(region).unwrap_or_default();
            response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &words));
            if alarms.contains(&region) {
                painter.rect_stroke(
                    cell,
                    0.0,
                    Stroke::new(2.0, t.warning),
                    egui::StrokeKind::Inside,
                );
            }
            if response.clicked() {
                clicked = Some(region);
            }
            response.on_hover_text(words);
        }
        // What is not always the same place has no cell of its own.
        let wandering = [Region::OneBorder, Region::OneCorner].into_iter();
        if let Some(region) = wandering.into_iter().find(|region| alarms.contains(region)) {
            painter.rect_stroke(
                rect,
                f32::from(radius::IMAGE),
                Stroke::new(2.0, t.warning),
                egui::StrokeKind::Inside,
            );
            let font = FontId::proportional(11.0);
            let share = seen.outside.finding(region).map_or(0.0, |it| it.share);
            let what = if region == Region::OneBorder {
                "one border"
            } else {
                "one corner"
            };
            let text = format!("{what} {:.0} %", 100.0 * share);
            painter.text(rect.center(), Align2::CENTER_CENTER, text, font, t.warning);
        }
        clicked
    })
    .inner
}
