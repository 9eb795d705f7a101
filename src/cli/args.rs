//! Arguments as they are typed.

use std::path::PathBuf;

use care_data::Windowing;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// Show a classifier where to look.
///
/// Without a command: opens the window, on PROJECT where one is given.
#[derive(Debug, Parser)]
#[command(
    name = "care",
    version,
    after_help = "Research software. Not for diagnosis."
)]
pub struct Arguments {
    /// A project, NAME.care
    pub project: Option<PathBuf>,
    /// Print results and errors only: no progress, no notes
    #[arg(long, short, global = true)]
    pub quiet: bool,
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an empty project
    #[command(after_help = "Example: care new skin.care")]
    New { project: PathBuf },
    /// Read images into a project
    ///
    /// PATH is a folder with one subfolder for each class, a folder with a table of labels (image_id, dx, lesion_id) and its
    /// images, or what another program wrote: COCO, Pascal VOC, YOLO, CSV, labelme, RSNA, NIH, masks; the folder or the file
    /// itself. Images stay where they are. Again, it adds what is new and touches no box that is there.
    #[command(
        after_help = "Examples:\n  care import skin.care ham10000 --rare df\n  care import chest.care rsna/stage_2_train_labels.csv --dry-run"
    )]
    Import {
        project: PathBuf,
        path: PathBuf,
        /// Mark a class as rare: its training images are asked for boxes
        #[arg(long = "rare", value_name = "CLASS")]
        rare: Vec<String>,
        /// What PATH is: folder, table, coco, voc, yolo, csv, labelme, rsna, nih or masks [default: recognised]
        #[arg(long, value_name = "NAME")]
        format: Option<String>,
        /// Take boxes from this table (image_id, x, y, width, height) or folder of masks [default: the format's own, or boxes.csv
        /// beside the images]
        #[arg(long, value_name = "FILE", conflicts_with = "no_boxes")]
        boxes: Option<PathBuf>,
        /// Take no boxes
        #[arg(long)]
        no_boxes: bool,
        /// Say what would come in, and take in nothing
        #[arg(long)]
        dry_run: bool,
        /// What a dry run says, as JSON on standard output
        #[arg(long, requires = "dry_run")]
        json: bool,
        /// At most this many images of each class
        #[arg(long, value_name = "N")]
        per_class: Option<usize>,
        /// Share of the images kept for testing
        #[arg(long, value_name = "SHARE", default_value_t = 0.2)]
        test: f64,
        /// Share of the remaining images kept for validation
        #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
        validation: f64,
        /// Seed of the split
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// Write a project's classes and boxes for other programs
    ///
    /// OUT is a file for coco and csv, a folder for the others. Images stay where they are and are named by their paths; yolo
    /// gets a link to their folder. Nothing of patients goes along. voc rounds edges to whole pixels.
    #[command(after_help = "Example: care export skin.care --format coco --out skin.json")]
    Export {
        project: PathBuf,
        /// coco, voc, yolo, csv or labelme
        #[arg(long, value_name = "NAME")]
        format: String,
        /// Where to write
        #[arg(long, value_name = "PATH")]
        out: PathBuf,
        /// Only the images of this part: train, validation or test [default: all]
        #[arg(long, value_name = "PART")]
        split: Option<String>,
        /// Replace an earlier export
        #[arg(long)]
        force: bool,
    },
    /// List a project's images with class, part, group and boxes; those whose file is not there are marked as missing
    #[command(after_help = "Example: care list skin.care --json")]
    List {
        project: PathBuf,
        #[arg(long)]
        json: bool,
    },
    /// Show, add or remove the boxes of an image
    #[command(
        after_help = "Examples:\n  care box skin.care ISIC_0024318\n  care box skin.care ISIC_0024318 --add 40,30,120,100\n  care box skin.care ISIC_0024318 --remove 7"
    )]
    Box {
        project: PathBuf,
        /// The image's name, path or number
        image: String,
        /// Left, top, right, bottom edge in pixels of the image as shown
        #[arg(long, value_name = "X0,Y0,X1,Y1", allow_hyphen_values = true)]
        add: Vec<String>,
        /// The box's number
        #[arg(long, value_name = "ID")]
        remove: Vec<i64>,
    },
    /// Train CARE beside its control, without the window
    #[command(
        after_help = "Examples:\n  care train skin.care --set backbone=resnet18 --set input_size=224 --set alpha=0.5\n  care train skin.care --dry-run > settings.toml\n  care train skin.care --config settings.toml --json\n  care train skin.care --resume 3"
    )]
    Train {
        project: PathBuf,
        /// Go on with this run where it was stopped, or failed: weights, optimiser and random numbers as they were
        #[arg(long, value_name = "RUN", conflicts_with_all = ["config", "set"])]
        resume: Option<i64>,
        /// Settings in a TOML file, as a run's own config.toml
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// One setting, on top of the file; may be given again
        #[arg(long = "set", value_name = "NAME=VALUE")]
        set: Vec<String>,
        /// Print the settings, each explained, as the file that --config takes; say what speaks against them, and train nothing
        #[arg(long, conflicts_with_all = ["resume", "json"])]
        dry_run: bool,
        /// Results as JSON on standard output
        #[arg(long)]
        json: bool,
    },
    /// Measure a run's models, or any weights on any images
    ///
    /// A run is measured with its own weights on the project's test part and boxes as they are now.
    #[command(
        after_help = "Examples:\n  care evaluate skin.care --run 3 --json\n  care evaluate --weights mine.pth --backbone resnet18 --images test.csv --rare df"
    )]
    Evaluate(EvaluateArguments),
    /// Draw what the models of a run look at, image by image: the paper's Figure 2
    #[command(
        after_help = "Examples:\n  care figure skin.care --out figure.pdf\n  care figure skin.care --run 3 --images ISIC_0024318,ISIC_0025911 --models control,care --width 85 --out figure.png"
    )]
    Figure {
        #[command(flatten)]
        of: OfRun,
        /// The file to write: .png (300 dpi), .svg or .pdf
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Test images by name, path or number [default: four, rare ones with the least attention in the box first]
        #[arg(long, value_name = "A,B,...", value_delimiter = ',')]
        images: Vec<String>,
        #[command(flatten)]
        maps: Maps,
        /// In millimetres
        #[arg(long, value_name = "MM", default_value_t = 170.0)]
        width: f64,
        /// Light on dark
        #[arg(long)]
        dark: bool,
        /// Leave out what stands under each map
        #[arg(long)]
        no_captions: bool,
        /// Call images by their files' names; otherwise they are numbered
        #[arg(long)]
        names: bool,
    },
    /// Write a run's tables: measures, attention of each image, confusion matrices
    #[command(after_help = "Example: care tables skin.care --format latex --out tables")]
    Tables {
        #[command(flatten)]
        of: OfRun,
        /// The folder to write
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// csv, markdown or latex
        #[arg(long, value_name = "NAME", default_value = "csv")]
        format: String,
    },
    /// Write how the attention moved while a run trained, as an animation or as frames
    #[command(
        after_help = "Examples:\n  care film skin.care --out film.gif\n  care film skin.care --out frames"
    )]
    Film {
        #[command(flatten)]
        of: OfRun,
        /// A .gif, or a folder for one PNG for each moment
        #[arg(long, value_name = "PATH")]
        out: PathBuf,
        #[command(flatten)]
        maps: Maps,
    },
    /// Write a run as one HTML file that opens offline: data, settings, curves, figure, tables, cautions
    #[command(after_help = "Example: care report skin.care --run 3 --out report.html")]
    Report {
        #[command(flatten)]
        of: OfRun,
        /// The file to write: .html
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Write a model of a run for use elsewhere, with a card that says what it is and expects
    #[command(after_help = "Example: care export-model skin.care --out model")]
    ExportModel {
        #[command(flatten)]
        of: OfRun,
        /// The folder to write
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// before, control or care
        #[arg(long, value_name = "NAME", default_value = "care")]
        model: String,
        /// torchscript or safetensors
        #[arg(long, value_name = "NAME", default_value = "torchscript")]
        format: String,
    },
    /// Write what a network looks at: Grad-CAM maps of any images, for any class
    ///
    /// DIR/NAME.png is the image with its map over it. With --npy, DIR/NAME.npy is F at the network's input size and
    /// DIR/NAME.grid.npy the map's own grid, both float32 in 0..1.
    #[command(
        after_help = "Example: care cam --backbone resnet18 --weights resnet18 --class 243 dog.jpg --out maps --npy --preprocess torchvision"
    )]
    Cam(CamArguments),
    /// Write images as the window shows them, as 8-bit PNG
    ///
    /// Nothing of the file's header goes along. Colours stay as they are.
    #[command(
        after_help = "Examples:\n  care convert chest.dcm --out png\n  care convert ct/* --window 40,400 --out png\n  care convert ct/* --raw --out png"
    )]
    Convert {
        #[arg(required = true, value_name = "FILE")]
        images: Vec<PathBuf>,
        /// The folder to write into; made where there is none
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// What is black and white of grey images: center,width, auto (percentiles 1 to 99), full, or file
        #[arg(long, default_value_t = Windowing::File, allow_hyphen_values = true)]
        window: Windowing,
        /// The values of grey images, after the modality LUT, in 16 bits
        #[arg(long, conflicts_with = "window")]
        raw: bool,
        /// Replace pictures that are there already
        #[arg(long)]
        force: bool,
        /// What was written as JSON on standard output
        #[arg(long)]
        json: bool,
    },
    /// Pretrained weights: what there is, torchvision's, files of your own
    #[command(after_help = "Example: care weights list")]
    Weights {
        #[command(subcommand)]
        command: WeightsCommand,
    },
    /// The built-in demo: synthetic images, a rare class, a ruler or a side marker that misleads
    #[command(
        after_help = "Examples:\n  care demo\n  care demo --chest\n  care demo --headless --seed 3 --json"
    )]
    Demo {
        /// Chest radiographs instead of skin lesions
        #[arg(long)]
        chest: bool,
        /// Make, train and test without the window, and print what came out
        #[arg(long)]
        headless: bool,
        /// Seed of the images and of the training
        #[arg(long, requires = "headless", default_value_t = 0)]
        seed: u64,
        /// One setting of the run; may be given again
        #[arg(long = "set", requires = "headless", value_name = "NAME=VALUE")]
        set: Vec<String>,
        #[arg(long, requires = "headless")]
        json: bool,
    },
    /// Measure steps, epochs and reading on this machine, beside PyTorch where it is there
    #[command(
        after_help = "Example: care bench --backbone resnet18 --backbone vgg19 --peer scripts/benchmark/peer.py"
    )]
    Bench {
        /// A network; may be given again
        #[arg(long, value_name = "NAME", default_values = ["resnet18", "resnet50", "vgg19"])]
        backbone: Vec<String>,
        /// Images in a batch
        #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(2..))]
        batch: u16,
        /// Times that both sides are measured in turn
        #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
        rounds: u16,
        /// The Python script that measures PyTorch (of this project's sources)
        #[arg(long, value_name = "SCRIPT")]
        peer: Option<PathBuf>,
        #[arg(long)]
        json: bool,
    },
    /// Say what this machine has: device, libtorch, CUDA, graphics, memory
    #[command(after_help = "Example: care doctor --json")]
    Doctor {
        #[arg(long)]
        json: bool,
    },
    /// Print what a shell needs to complete commands
    #[command(
        after_help = "Example: care completions bash > ~/.local/share/bash-completion/completions/care"
    )]
    Completions { shell: Shell },
    /// Write a man page for each command
    #[command(after_help = "Example: care man ~/.local/share/man/man1")]
    Man {
        /// The folder to write into; made where there is none
        out: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct OfRun {
    /// A project, NAME.care
    pub project: PathBuf,
    /// The run's number [default: the newest that finished]
    #[arg(long, value_name = "R")]
    pub run: Option<i64>,
}

/// How maps are drawn.
#[derive(Debug, Args)]
pub struct Maps {
    /// Which models: before, control, care [default: all]
    #[arg(long, value_name = "A,B,...", value_delimiter = ',')]
    pub models: Vec<String>,
    /// turbo, viridis, magma or jet
    #[arg(long, value_name = "NAME", default_value = "turbo")]
    pub palette: String,
    /// One scale for all models instead of each map's own
    #[arg(long)]
    pub common_scale: bool,
    /// The map's cells as they are, instead of smooth
    #[arg(long)]
    pub raw: bool,
}

#[derive(Debug, Args)]
pub struct EvaluateArguments {
    /// A project, NAME.care
    #[arg(requires = "run", required_unless_present = "weights")]
    pub project: Option<PathBuf>,
    /// The run's number
    #[arg(long, value_name = "R", requires = "project")]
    pub run: Option<i64>,
    /// A file of weights with its classifier, or the name of one in the store
    #[arg(long, conflicts_with = "project", requires_all = ["backbone", "images"])]
    pub weights: Option<PathBuf>,
    /// The weights' network, as in --set backbone=NAME
    #[arg(long, value_name = "NAME", requires = "weights")]
    pub backbone: Option<String>,
    /// A table (CSV) with a line for each image: image (a path from the table's folder, or a name), class, and x, y, width,
    /// height where it has boxes
    #[arg(long, value_name = "TABLE", requires = "weights")]
    pub images: Option<PathBuf>,
    /// Names of the classes in the model's order [default: those of the table, sorted]
    #[arg(
        long,
        value_name = "A,B,...",
        value_delimiter = ',',
        requires = "weights"
    )]
    pub classes: Vec<String>,
    /// A class to be counted as rare; may be given again
    #[arg(long = "rare", value_name = "CLASS", requires = "weights")]
    pub rare: Vec<String>,
    /// Take boxes from this table (image_id, x, y, width, height) [default: TABLE's own, or boxes.csv beside it]
    #[arg(long, value_name = "FILE", requires = "weights")]
    pub boxes: Option<PathBuf>,
    /// Side of the square network input in pixels [default: 224; small_resnet: 96]
    #[arg(long, value_name = "N", requires = "weights")]
    pub input: Option<u32>,
    /// One setting of a run, such as normalisation=min-max; may be given again
    #[arg(long = "set", value_name = "NAME=VALUE", requires = "weights")]
    pub set: Vec<String>,
    /// Everything as JSON on standard output, each image's scores with it
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct CamArguments {
    /// PNG, JPEG, TIFF, WebP or DICOM files
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<PathBuf>,
    /// The weights' network, as in --set backbone=NAME
    #[arg(long, value_name = "NAME")]
    pub backbone: String,
    /// A file of weights with its classifier, or the name of one in the store
    #[arg(long)]
    pub weights: PathBuf,
    /// Whose attention: the class's number from 0 on, or "predicted"
    #[arg(long, value_name = "C")]
    pub class: String,
    /// The folder to write into; made where there is none
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Write the maps as NumPy files, too
    #[arg(long)]
    pub npy: bool,
    /// How an image becomes the network's input
    #[arg(long, value_enum, default_value_t = Preprocessing::Studio)]
    pub preprocess: Preprocessing,
    /// Side of the square network input in pixels [default: 224; small_resnet: 96]
    #[arg(long, value_name = "N")]
    pub input: Option<u32>,
    /// One setting of a run, such as normalisation=min-max; may be given again
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// What the table says, and the files written, as JSON on standard output
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Preprocessing {
    /// As this program trains: the whole image, its sides scaled separately to the input
    Studio,
    /// As torchvision's transform for ImageNet: the shorter side to 8/7 of the input (256 for 224), then the middle square
    Torchvision,
}

#[derive(Debug, Subcommand)]
pub enum WeightsCommand {
    /// List the weights that --set weights=NAME can name, and those that could be fetched
    List {
        #[arg(long)]
        json: bool,
    },
    /// Fetch the weights that torchvision publishes for a backbone (ImageNet, 1000 classes)
    ///
    /// What was broken off goes on the next time. A proxy is taken from the environment (HTTPS_PROXY).
    #[command(after_help = "Example: care weights get resnet18")]
    Get { name: String },
    /// Copy a file into the store: .safetensors, or the .pth, .pt or .bin of torch.save
    #[command(after_help = "Example: care weights add mine.pth")]
    Add { file: PathBuf },
}
