//! The terms of the loss, drawn: L_in against the mean attention in the box, the mean outside, and the ledger.

use care_learn::lens::{Boxed, Lens};
use egui::text::{LayoutJob, TextFormat};
use egui::{
    Align, Align2, Color32, CornerRadius, CursorIcon, FontId, Painter, Rangef, Rect, Role, Sense,
    Shape, Stroke, Ui, WidgetInfo, pos2, vec2,
};

use crate::format;
use crate::ui::tokens::{self, Tokens, radius};

const PLOT: f32 = 92.0;
/// Left of the plot and of the bar under it.
const AXIS: f32 = 34.0;
const LEDGER_ROW: f32 = 22.0;
const LEDGER_LABEL: f32 = 88.0;
const LEDGER_VALUE: f32 = 52.0;

/// `tau` can be dragged along the curve.
pub(super) fn terms_ui(ui: &mut Ui, lens: &Lens, tau: &mut f64) {
    ui.spacing_mut().item_spacing.y = 0.0;
    let t = Tokens::of(ui);
    if let Some(boxed) = &lens.boxed {
        mean_ui(ui, "Mean attention in the box", boxed.mean_inside, t.reward);
        curve_ui(ui, boxed, tau);
        ui.add_space(4.0);
        mean_ui(ui, "Mean attention outside", boxed.mean_outside, t.penalty);
        share_ui(ui, boxed.mean_outside, t.penalty);
        ui.add_space(8.0);
    }
    ledger_ui(ui, lens);
}

/// What is measured, with its colour, and its value.
fn mean_ui(ui: &mut Ui, name: &str, value: f64, ink: Color32) {
    let t = Tokens::of(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 24.0), Sense::hover());
    let text = format::plain(value);
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, format!("{name}: {text}")));
    let painter = ui.painter();
    let chip = Rect::from_center_size(pos2(rect.left() + 5.0, rect.center().y), vec2(10.0, 10.0));
    painter.rect_filled(chip, f32::from(radius::BAR), ink);
    let body = FontId::proportional(13.0);
    let at = rect.left_center() + vec2(18.0, 0.0);
    painter.text(at, Align2::LEFT_CENTER, name, body, t.text_strong);
    painter.text(
        rect.right_center(),
        Align2::RIGHT_CENTER,
        text,
        tokens::medium(13.0),
        t.text_strong,
    );
}

/// L_in over the mean attention in the box: it falls, and is flat from tau on. A dot is this image.
fn curve_ui(ui: &mut Ui, boxed: &Boxed, tau: &mut f64) {
    let t = Tokens::of(ui);
    let (whole, response) =
        ui.allocate_exact_size(vec2(ui.available_width(), PLOT + 20.0), Sense::hover());
    let plot = Rect::from_min_max(
        whole.min + vec2(AXIS, 4.0),
        pos2(whole.right() - 4.0, whole.top() + PLOT),
    );
    // The handle follows the hand in the frame in which it is moved.
    let x = |share: f64| egui::lerp(plot.x_range(), share as f32);
    let grip = Rect::from_x_y_ranges(
        Rangef::point(x(*tau)).expand(9.0),
        Rangef::new(plot.top(), whole.bottom()),
    );
    // The slider above has the keyboard.
    let drag = ui.interact(grip, response.id.with("tau"), Sense::DRAG);
    if let Some(at) = drag.interact_pointer_pos()
        && drag.dragged()
    {
        let share = f64::from((at.x - plot.left()) / plot.width()).clamp(0.0, 1.0);
        *tau = (share * 100.0).round() / 100.0;
    }
    if drag.hovered() || drag.dragged() {
        ui.ctx().set_cursor_icon(CursorIcon::ResizeHorizontal);
    }
    let words = if boxed.is_enough {
        "no more reward"
    } else {
        "rewarded"
    };
    drag.widget_info(|| {
        let mut info = WidgetInfo::labeled(
            Role::Image,
            true,
            format!("L in over mean attention: {words}"),
        );
        info.value = Some(boxed.l_in);
        info
    });
    let hint = "L in = \u{2212}min(mean attention in the box, tau). Drag to move tau.";
    drag.on_hover_text(hint);

    let tau = *tau;
    let mean = boxed.mean_inside;
    let y = |loss: f64| egui::lerp(plot.y_range(), -loss as f32);
    let painter = ui.painter();
    let line = |ink: Color32| Stroke::new(1.0, ink);
    let enough = Rect::from_min_max(pos2(x(tau), plot.top()), plot.max);
    painter.rect_filled(enough, 0.0, t.raised);
    for at in [plot.top(), plot.bottom()] {
        painter.hline(plot.x_range(), at, line(t.stroke));
    }
    painter.extend(Shape::dashed_line(
        &[pos2(x(tau), plot.top()), pos2(x(tau), plot.bottom())],
        line(t.stroke_strong),
        3.0,
        3.0,
    ));
    painter.extend(Shape::dashed_line(
        &[pos2(plot.left(), y(-tau)), pos2(x(tau), y(-tau))],
        line(t.stroke_strong),
        1.0,
        4.0,
    ));
    let small = FontId::proportional(11.0);
    let text = |at, align, text: &str, ink| {
        painter.text(at, align, text, small.clone(), ink);
    };
    if enough.width() >= 52.0 {
        let lines: &[&str] = if enough.width() >= 88.0 {
            &["no more reward"]
        } else {
            &["no more", "reward"]
        };
        for (n, words) in lines.iter().enumerate() {
            let at = pos2(enough.center().x, plot.top() + 10.0 + 13.0 * n as f32);
            text(at, Align2::CENTER_CENTER, words, t.text_weak);
        }
    }
    let axis = plot.left() - 6.0;
    text(
        pos2(axis, plot.top()),
        Align2::RIGHT_CENTER,
        "0",
        t.text_weak,
    );
    text(
        pos2(axis, plot.bottom()),
        Align2::RIGHT_CENTER,
        "\u{2212}1",
        t.text_weak,
    );
    // Where tau comes near to an end, its own label gives way.
    if (0.15..=0.85).contains(&tau) {
        let label = format!("\u{2212}{tau:.2}");
        text(
            pos2(axis, y(-tau)),
            Align2::RIGHT_CENTER,
            &label,
            t.text_weak,
        );
    }
    let below = whole.bottom() - 7.0;
    let tau_label =
        painter.layout_no_wrap(format!("tau {tau:.2}"), tokens::medium(11.0), t.text_strong);
    let half = tau_label.size().x / 2.0;
    let middle = x(tau).clamp(plot.left() + half - 4.0, plot.right() - half + 4.0);
    for (share, name) in [(0.0, "0"), (1.0, "1")] {
        if (x(share) - middle).abs() > half + 10.0 {
            text(
                pos2(x(share), below),
                Align2::CENTER_CENTER,
                name,
                t.text_weak,
            );
        }
    }
    let at = pos2(middle - half, below - tau_label.size().y / 2.0);
    painter.galley(at, tau_label, t.text_strong);

    let curve = vec![
        pos2(x(0.0), y(0.0)),
        pos2(x(tau), y(-tau)),
        pos2(x(1.0), y(-tau)),
    ];
    painter.add(Shape::line(curve, Stroke::new(2.0, t.reward)));
    let dot = pos2(x(mean.clamp(0.0, 1.0)), y(boxed.l_in));
    painter.circle(dot, 5.0, t.text_strong, Stroke::new(2.0, t.reward));
    let value = painter.layout_no_wrap(
        format::signed(boxed.l_in),
        tokens::medium(11.0),
        t.text_strong,
    );
    let right = dot.x + 9.0 + value.size().x <= plot.right();
    let left = if right {
        dot.x + 9.0
    } else {
        dot.x - 9.0 - value.size().x
    };
    // Over the line, which falls to the right.
    let top = (dot.y - value.size().y - 1.0).max(plot.top() - 2.0);
    painter.galley(pos2(left, top), value, t.text_strong);
}

/// A share of 1 as a bar, as long as the plot above is wide.
fn share_ui(ui: &mut Ui, value: f64, ink: Color32) {
    let t = Tokens::of(ui);
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), 10.0), Sense::hover());
    let whole = Rect::from_min_max(
        pos2(rect.left() + AXIS, rect.center().y - 4.0),
        pos2(rect.right() - 4.0, rect.center().y + 4.0),
    );
    let corner = CornerRadius::same(radius::BAR);
    ui.painter().rect_filled(whole, corner, t.active);
    let mut part = whole;
    part.set_width(whole.width() * value.clamp(0.0, 1.0) as f32);
    ui.painter().rect_filled(part, corner, ink);
}

/// Every term with its bar, all about one zero and on one scale.
fn ledger_ui(ui: &mut Ui, lens: &Lens) {
    let t = Tokens::of(ui);
    let alpha = lens.live.alpha;
    let mut rows = Vec::new();
    if let Some(boxed) = &lens.boxed {
        let l_out = lens.live.lambda * boxed.l_out;
        rows.push((
            &["L", "in"][..],
            boxed.l_in,
            t.reward,
            false,
            "the reward in the box",
        ));
        rows.push((
            &["lambda L", "out"],
            l_out,
            t.penalty,
            false,
            "the penalty outside",
        ));
        rows.push((
            &["L", "a"],
            boxed.l_a,
            t.text_strong,
            true,
            "both: the attention loss",
        ));
    }
    let l_c = (1.0 - alpha) * lens.l_c;
    rows.push((
        &["(1 \u{2212} alpha) L", "c"],
        l_c,
        t.text_weak,
        false,
        "the classification loss, as it counts",
    ));
    let l_a = alpha * lens.l_a();
    rows.push((
        &["alpha L", "a"],
        l_a,
        t.text_weak,
        false,
        "the attention loss, as it counts",
    ));
    rows.push((&["L"], lens.total(), t.text_strong, true, "the whole loss"));
    // What no slider changes decides the scale, so that bars do not jump under the hand.
    let high = round_up(lens.l_c.max(1.0));
    for (name, value, ink, is_sum, hint) in rows {
        if is_sum {
            let (line, _) = ui.allocate_exact_size(vec2(ui.available_width(), 1.0), Sense::hover());
            ui.painter().rect_filled(line, 0.0, t.stroke);
        }
        let (rect, response) =
            ui.allocate_exact_size(vec2(ui.available_width(), LEDGER_ROW), Sense::hover());
        let text = format::signed(value);
        let spoken = name.join(" ");
        response
            .widget_info(|| WidgetInfo::labeled(Role::Label, true, format!("{spoken}: {text}")));
        let painter = ui.painter();
        name_ui(painter, rect, name, is_sum, t);
        let lane = Rangef::new(rect.left() + LEDGER_LABEL, rect.right() - LEDGER_VALUE);
        bar_ui(painter, rect, lane, value, high, ink, t);
        let font = if is_sum {
            tokens::semibold(13.0)
        } else {
            FontId::proportional(13.0)
        };
        let tone = if is_sum { t.text_strong } else { t.text };
        painter.text(rect.right_center(), Align2::RIGHT_CENTER, text, font, tone);
        response.on_hover_text(format!("{spoken}: {hint}"));
    }
}

/// 1, 2 or 5 times a power of ten, at least `value`.
fn round_up(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    let step = steps
        .into_iter()
        .find(|step| step * power >= value * (1.0 - 1e-9));
    step.unwrap_or(10.0) * power
}

fn bar_ui(
    painter: &Painter,
    row: Rect,
    lane: Rangef,
    value: f64,
    high: f64,
    ink: Color32,
    t: &Tokens,
) {
    // L_in reaches down to -1, the others up to `high`.
    let x = |value: f64| egui::lerp(lane, ((value + 1.0) / (high + 1.0)).clamp(0.0, 1.0) as f32);
    let zero = x(0.0);
    let bar = Rect::from_x_y_ranges(
        Rangef::new(zero.min(x(value)), zero.max(x(value))),
        Rangef::point(row.center().y).expand(5.0),
    );
    painter.rect_filled(bar, f32::from(radius::BAR).min(bar.width() / 2.0), ink);
    painter.vline(
        zero,
        row.y_range().shrink(4.0),
        Stroke::new(1.0, t.stroke_strong),
    );
}

/// A term's letter with its subscript.
fn name_ui(painter: &Painter, row: Rect, name: &[&str], is_sum: bool, t: &Tokens) {
    let (font, ink) = if is_sum {
        (tokens::semibold(13.0), t.text_strong)
    } else {
        (FontId::proportional(13.0), t.text)
    };
    let mut job = LayoutJob::default();
    for (n, text) in name.iter().enumerate() {
        let format = if n == 0 {
            TextFormat::simple(font.clone(), ink)
        } else {
            TextFormat {
                valign: Align::BOTTOM,
                ..TextFormat::simple(FontId::proportional(10.0), ink)
            }
        };
        job.append(text, 0.0, format);
    }
    let galley = painter.layout_job(job);
    let at = pos2(row.left(), row.center().y - galley.size().y / 2.0);
    painter.galley(at, galley, ink);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_on_round_numbers() {
        for (value, expected) in [
            (1.0, 1.0),
            (1.01, 2.0),
            (2.0, 2.0),
            (4.2, 5.0),
            (7.0, 10.0),
            (87.0, 100.0),
        ] {
            assert_eq!(round_up(value), expected, "{value}");
        }
    }
}
