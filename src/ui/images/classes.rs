//! The classes as bars on one scale: the imbalance is the first thing seen.

use care_data::{Class, Edit};
use egui::text::{LayoutJob, TextFormat};
use egui::{
    Align2, FontId, Rect, RichText, Role, ScrollArea, Sense, TextStyle, Ui, UiBuilder, WidgetInfo,
    pos2, vec2,
};

use super::tally::{ClassTally, Tally};
use crate::format;
use crate::ui::tokens::{self, Tokens, radius};
use crate::ui::widgets::{IconButton, class_dot, elided};
use crate::ui::{Context, icons};

const CLASS_ROW: f32 = 36.0;
/// With more than seven classes the band scrolls: the rarest, which stands last, is to be seen as long as that goes.
const CLASSES_MAX: f32 = 7.0 * CLASS_ROW;

/// Of the band, without its padding.
pub(super) fn height(classes: usize) -> f32 {
    36.0 + (classes as f32 * CLASS_ROW).min(CLASSES_MAX)
}

pub(super) fn classes_ui(ui: &mut Ui, cx: &mut Context<'_>, tally: &Tally) {
    let t = Tokens::of(ui);
    ui.spacing_mut().item_spacing.y = 0.0;
    ui.horizontal(|ui| {
        ui.set_height(28.0);
        ui.spacing_mut().item_spacing.x = 12.0;
        ui.label(
            RichText::new("Classes")
                .text_style(TextStyle::Heading)
                .color(t.text_strong),
        );
        ui.label(imbalance(ui, tally));
    });
    ui.add_space(8.0);
    let classes = cx.project.classes();
    let name_width = classes
        .iter()
        .map(|class| {
            let font = tokens::medium(13.0);
            ui.painter()
                .layout_no_wrap(class.name.clone(), font, t.text)
                .size()
                .x
        })
        .fold(120.0, f32::max)
        .min(220.0);
    let largest = tally.trained().max().unwrap_or(0);
    let trained: usize = tally.trained().sum();
    ScrollArea::vertical()
        .max_height(CLASSES_MAX)
        .auto_shrink(false)
        .show_rows(ui, CLASS_ROW, classes.len(), |ui, rows| {
            for place in rows {
                if let (Some(class), Some(count)) = (classes.get(place), tally.classes.get(place)) {
                    let row = ClassRow {
                        class,
                        count,
                        name_width,
                        largest,
                        trained,
                    };
                    if row.ui(ui) {
                        cx.commands.edit(Edit::SetRare {
                            class: class.id,
                            rare: !class.rare,
                        });
                    }
                }
            }
        });
}

/// "584 training images. The largest class has 13.3 times the images of the smallest."
fn imbalance(ui: &Ui, tally: &Tally) -> LayoutJob {
    let t = Tokens::of(ui);
    let mut job = LayoutJob::default();
    let mut say = |text: &str, font, color| {
        job.append(text, 0.0, TextFormat::simple(font, color));
    };
    let regular = || FontId::proportional(13.0);
    let trained: usize = tally.trained().sum();
    if tally.classes.is_empty() {
        return job;
    }
    let images = format::plural(trained, "training image", "training images");
    say(&format!("{images}. "), regular(), t.text_weak);
    let (largest, smallest) = (
        tally.trained().max().unwrap_or(0),
        tally.trained().min().unwrap_or(0),
    );
    if tally.classes.len() == 1 {
        say(
            "One class alone cannot be told from anything: add images of another.",
            regular(),
            t.text_weak,
        );
    } else if smallest == 0 {
        say("A class has no image to train on.", regular(), t.text_weak);
    } else if largest == smallest {
        say("Every class has the same number.", regular(), t.text_weak);
    } else {
        let ratio = largest as f64 / smallest as f64;
        say("The largest class has ", regular(), t.text_weak);
        say(
            &format!("{ratio:.1} times"),
            tokens::medium(13.0),
            t.text_strong,
        );
        say(" the images of the smallest.", regular(), t.text_weak);
    }
    job
}

/// A class: its star, its share of the training images as a bar.
struct ClassRow<'a> {
    class: &'a Class,
    count: &'a ClassTally,
    name_width: f32,
    /// Training images of the largest class: the bars' common scale.
    largest: usize,
    /// Of all classes.
    trained: usize,
}

impl ClassRow<'_> {
    /// True where the star was clicked.
    fn ui(&self, ui: &mut Ui) -> bool {
        const GAP: f32 = 12.0;
        const VALUE: f32 = 48.0;
        const SHARE: f32 = 56.0;
        const REMARK: f32 = 104.0;
        let t = Tokens::of(ui);
        let Self { class, count, .. } = *self;
        let width = ui.available_width();
        let (row, response) = ui.allocate_exact_size(vec2(width, CLASS_ROW), Sense::hover());
        let [n, ..] = count.parts;
        response.widget_info(|| {
            let label = format!(
                "{}: {}",
                class.name,
                format::plural(n, "training image", "training images")
            );
            WidgetInfo::labeled(Role::Label, true, label)
        });
        let painter = ui.painter().clone();
        if class.rare {
            painter.rect_filled(row, f32::from(radius::CONTROL), t.raised);
        }
        let y = row.center().y;
        let star = Rect::from_center_size(pos2(row.left() + 20.0, y), vec2(28.0, 28.0));
        let name = format!("Mark {} as rare", class.name);
        let mut button = IconButton::new(icons::STAR, &name).selected(class.rare);
        button = if class.rare {
            button.fill().tooltip("Remove the rare mark")
        } else {
            button.tooltip("Mark as rare")
        };
        let clicked = button
            .ui(&mut ui.new_child(UiBuilder::new().max_rect(star)))
            .clicked();
        class_dot(&painter, t, pos2(row.left() + 49.0, y), class.color);
        let left = row.left() + 66.0;
        let font = tokens::medium(13.0);
        let name = elided(
            &painter,
            &class.name,
            font.clone(),
            t.text_strong,
            self.name_width,
        );
        if name.elided {
            let rect = Rect::from_min_size(pos2(left, row.top()), vec2(self.name_width, CLASS_ROW));
            ui.interact(rect, ui.scope_id().with(class.id), Sense::hover())
                .on_hover_text(&class.name);
        }
        painter.galley(pos2(left, y - name.size().y / 2.0), name, t.text_strong);

        let remark = row.right() - GAP;
        let share = remark - REMARK - GAP;
        let value = share - SHARE - GAP;
        let bars = Rect::from_x_y_ranges(
            left + self.name_width + GAP..=value - VALUE - GAP,
            y - 8.0..=y + 8.0,
        );
        if n > 0 {
            let share = n as f32 / self.largest.max(1) as f32;
            let bar = bars.with_max_x(bars.left() + (bars.width() * share).max(2.0));
            painter.rect_filled(bar, f32::from(radius::BAR), t.class(class.color));
        }
        let percent = 100.0 * n as f64 / self.trained.max(1) as f64;
        for (text, x, font, ink) in [
            (format::count(n), value, font, t.text_strong),
            (
                format!("{percent:.1} %"),
                share,
                FontId::proportional(13.0),
                t.text_weak,
            ),
        ] {
            painter.text(pos2(x, y), Align2::RIGHT_CENTER, text, font, ink);
        }
        if class.rare {
            let text = if count.to_do > 0 {
                "rare: needs boxes"
            } else {
                "rare: boxed"
            };
            let font = tokens::medium(12.0);
            painter.text(pos2(remark, y), Align2::RIGHT_CENTER, text, font, t.accent);
        }
        clicked
    }
}
