//! The queue of room 2: which images it holds, in which order, and which comes next. Knows no window.

use care_data::{
    BoundingBox, ClassId, Image, ImageId, ImageSize, Part, Project, ReaderId, ReviewState,
};
use serde::{Deserialize, Serialize};

use crate::attention::{Attention, Seen};
use crate::state::is_to_do;

/// Which classes' images are in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Classes {
    #[default]
    Rare,
    All,
    One(ClassId),
}

/// Which part of the queue is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    ToDo,
    Done,
    SecondLook,
    /// To do first, the others below.
    #[default]
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// As they came into the project.
    #[default]
    Order,
    Name,
    /// What the model is least sure of first.
    Uncertainty,
    /// Where the least of the attention lies in the boxes first.
    Energy,
    /// What the model gets right with its attention elsewhere first.
    WrongReason,
}

impl Sort {
    pub const ALL: [Self; 5] = [
        Self::Order,
        Self::Name,
        Self::Uncertainty,
        Self::Energy,
        Self::WrongReason,
    ];

    /// Whether a model has to look at the images first.
    #[must_use]
    pub fn needs_model(self) -> bool {
        !matches!(self, Self::Order | Self::Name)
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Order => "As imported",
            Self::Name => "Name",
            Self::Uncertainty => "Least sure first",
            Self::Energy => "Least in the box first",
            Self::WrongReason => "Wrong reason first",
        }
    }
}

/// Seconds between two orders while a model goes on looking.
const RESORTED: f64 = 2.0;

/// What the queue shows. Kept for each project from start to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct QueueView {
    pub classes: Classes,
    /// `None` for all parts.
    pub part: Option<Part>,
    /// Those with boxes, those without, or both.
    pub boxed: Option<bool>,
    /// In the file's path, the group or the note. Not kept: it may be somebody's name.
    #[serde(skip)]
    pub text: String,
    pub filter: Filter,
    pub sort: Sort,
}

impl Default for QueueView {
    /// The images that are asked for boxes: the rare classes' training images.
    fn default() -> Self {
        Self {
            classes: Classes::Rare,
            part: Some(Part::Train),
            boxed: None,
            text: String::new(),
            filter: Filter::All,
            sort: Sort::Order,
        }
    }
}

impl QueueView {
    /// Whether it holds all the images that are asked for boxes, and no others.
    #[must_use]
    pub fn is_usual(&self) -> bool {
        let usual = Self {
            filter: self.filter,
            sort: self.sort,
            ..Self::default()
        };
        *self == usual
    }

    /// The images that it holds, in the project's order.
    pub fn images<'a>(
        &'a self,
        project: &'a Project,
        reader: Option<ReaderId>,
    ) -> impl Iterator<Item = &'a Image> {
        let holds = move |image: &&Image| self.holds(project, reader, image);
        project.images().iter().filter(holds)
    }

    fn holds(&self, project: &Project, reader: Option<ReaderId>, image: &Image) -> bool {
        let class = match self.classes {
            Classes::Rare => project.class(image.class).is_some_and(|class| class.rare),
            Classes::All => true,
            Classes::One(class) => image.class == class,
        };
        let boxed = || !project.boxes_of(reader, image.id).is_empty();
        let text = || {
            let text = self.text.trim().to_lowercase();
            let has = |place: &str| place.to_lowercase().contains(&text);
            text.is_empty()
                || has(&image.path)
                || has(&image.group)
                || has(&project.review(reader, image.id).note)
        };
        class
            && self.part.is_none_or(|part| image.part == part)
            && self.boxed.is_none_or(|wanted| boxed() == wanted)
            && text()
    }
}

/// An image of the queue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Member {
    pub id: ImageId,
    /// No box yet, and nobody said that it needs none or a second look.
    pub to_do: bool,
    pub boxed: bool,
    /// A person said that it needs nothing more.
    pub done: bool,
    pub second_look: bool,
}

impl Member {
    /// Has a box that nobody has confirmed.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.boxed && !self.done && !self.second_look
    }
}

/// What the list below was made of; made anew where any of it has changed.
#[derive(Debug, Clone, PartialEq)]
struct Made {
    revision: u64,
    reader: Option<ReaderId>,
    view: QueueView,
    current: Option<ImageId>,
    /// Of what the model has seen, where that is asked for.
    seen: Option<u64>,
}

/// How many images of a queue stand where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub to_do: usize,
    pub second_look: usize,
    /// With a box that nobody has confirmed.
    pub open: usize,
}

impl Counts {
    fn of(members: &[Member]) -> Self {
        let mut counts = Self::default();
        for member in members {
            counts.to_do += usize::from(member.to_do);
            counts.second_look += usize::from(member.second_look);
            counts.open += usize::from(member.is_open());
        }
        counts
    }
}

#[derive(Default)]
pub struct Queue {
    made: Option<Made>,
    /// In the order of the view.
    members: Vec<Member>,
    counts: Counts,
    next_to_do: Option<ImageId>,
    /// The place in `members` of the image in hand, or where it was last.
    at: usize,
    /// When the order was made, in seconds, and what the model had seen by then.
    sorted_at: f64,
    sorted_seen: Option<u64>,
    /// What is shown, in order.
    list: Vec<Member>,
    /// The image in hand as it was when it was taken up: it keeps its place while it is worked on.
    held: Option<(ImageId, Option<Member>)>,
    /// The place in `list` of the image in hand, or where it was last.
    place: usize,
    reveal: bool,
    pace: Pace,
}

impl Queue {
    /// Brings the list up to date. Once a frame; costs nothing where nothing has changed.
    pub fn update(
        &mut self,
        project: &Project,
        reader: Option<ReaderId>,
        view: &QueueView,
        attention: &Attention,
        current: Option<ImageId>,
        now: f64,
    ) {
        let seen = view.sort.needs_model().then(|| attention.revision());
        let is_made = self.made.as_ref().is_some_and(|made| {
            (made.revision, made.reader, made.current, made.seen)
                == (project.revision(), reader, current, seen)
                && made.view == *view
        });
        let is_due = self.resorted_in(view, attention, now) == Some(0.0);
        if is_made && !is_due {
            return;
        }
        let made = Made {
            revision: project.revision(),
            reader,
            view: view.clone(),
            current,
            seen,
        };
        let before = self.made.replace(made);
        let same_view = before
            .as_ref()
            .is_some_and(|b| b.reader == reader && b.view == *view);
        let same_images = before
            .as_ref()
            .is_some_and(|b| (b.revision, b.seen) == (project.revision(), seen));
        if !same_view || !same_images || is_due {
            let to_do = self.counts.to_do;
            // An edit, and what a model says meanwhile, does not move the images about under the hand.
            let is_kept = same_view && !is_due;
            let order: Vec<ImageId> = match is_kept {
                true => self.members.iter().map(|m| m.id).collect(),
                false => Vec::new(),
            };
            if !is_kept {
                (self.sorted_at, self.sorted_seen) = (now, seen);
            }
            self.members = members(project, reader, view, attention, &order);
            self.counts = Counts::of(&self.members);
            if same_view {
                self.pace.note(to_do, self.counts.to_do, now);
            } else {
                self.pace = Pace::default();
            }
        }
        if self.held.map(|(id, _)| id) != current {
            self.held = current.map(|id| (id, self.member(id).copied()));
            self.reveal = true;
        }
        self.reveal |= !same_view;
        let at = self.members.iter().position(|m| Some(m.id) == current);
        // One that has left stood before what stands in its place now.
        let after = at.map_or(self.at, |at| at + 1).min(self.members.len());
        self.at = at.unwrap_or(after);
        self.next_to_do = next_to_do(&self.members, after, current);
        self.list = listed(&self.members, view, self.held);
        self.place = self
            .list
            .iter()
            .position(|m| Some(m.id) == current)
            .unwrap_or(self.place.min(self.list.len()));
    }

    /// In how many seconds the order is to be made anew, as a model has seen more since; `None` where it has not.
    #[must_use]
    pub fn resorted_in(&self, view: &QueueView, attention: &Attention, now: f64) -> Option<f64> {
        let is_old = view.sort.needs_model() && self.sorted_seen != Some(attention.revision());
        is_old.then(|| (self.sorted_at + RESORTED - now).max(0.0))
    }

    fn member(&self, id: ImageId) -> Option<&Member> {
        self.members.iter().find(|member| member.id == id)
    }

    /// In the order of the view, whatever part is shown.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// What is shown, in order.
    #[must_use]
    pub fn list(&self) -> &[Member] {
        &self.list
    }

    /// The place in [`list`](Self::list) that came into the hand since the last call, to be scrolled to.
    pub fn take_reveal(&mut self) -> Option<usize> {
        let reveal = std::mem::take(&mut self.reveal);
        (reveal && self.place < self.list.len()).then_some(self.place)
    }

    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The image to begin with.
    #[must_use]
    pub fn first(&self) -> Option<ImageId> {
        let first = self.members.iter().find(|m| m.to_do);
        first.or(self.members.first()).map(|m| m.id)
    }

    /// The image before the one in hand.
    #[must_use]
    pub fn previous(&self) -> Option<ImageId> {
        let at = self.place.checked_sub(1)?;
        self.list.get(at).map(|m| m.id)
    }

    /// The image after the one in hand. Where that one has left the list, the one that took its place.
    #[must_use]
    pub fn next(&self) -> Option<ImageId> {
        let current = self.held.map(|(id, _)| id);
        let here = self.list.get(self.place)?;
        if Some(here.id) == current {
            self.list.get(self.place + 1).map(|m| m.id)
        } else {
            Some(here.id)
        }
    }

    /// The next image that is to do, from the one in hand on and round; none where that was the last.
    #[must_use]
    pub fn next_to_do(&self) -> Option<ImageId> {
        self.next_to_do
    }

    /// How long what is to do may take, once it can be told.
    #[must_use]
    pub fn time_left(&self) -> Option<String> {
        self.pace.left(self.counts.to_do)
    }
}

fn members(
    project: &Project,
    reader: Option<ReaderId>,
    view: &QueueView,
    attention: &Attention,
    order: &[ImageId],
) -> Vec<Member> {
    let mut images: Vec<&Image> = view.images(project, reader).collect();
    if view.sort != Sort::Order && !put_in_order(&mut images, order) {
        match view.sort {
            Sort::Order => {}
            Sort::Name => images.sort_by_cached_key(|image| natural(image.name())),
            sort => images.sort_by_cached_key(|image| {
                let rects = project.boxes_of(reader, image.id).iter();
                let rects: Vec<_> = rects.map(|annotation| annotation.rect).collect();
                let rank = attention
                    .seen(image.id)
                    .and_then(|seen| rank(sort, seen.as_ref().ok()?, &rects, image.size));
                (rank.is_none(), rank)
            }),
        }
    }
    images
        .into_iter()
        .map(|image| Member {
            id: image.id,
            to_do: is_to_do(project, reader, image.id),
            boxed: !project.boxes_of(reader, image.id).is_empty(),
            done: project.review(reader, image.id).state == ReviewState::Done,
            second_look: project.review(reader, image.id).state == ReviewState::SecondLook,
        })
        .collect()
}

/// Puts images into an order that was made before. False where one of them was not in it.
fn put_in_order(images: &mut [&Image], order: &[ImageId]) -> bool {
    // By id, of which a hundred thousand are looked up after each edit.
    let last = order.iter().max().map_or(0, |id| id.0);
    let mut places: Vec<Option<usize>> = vec![None; last as usize + 1];
    for (place, id) in order.iter().enumerate() {
        if let Some(of) = places.get_mut(id.0 as usize) {
            *of = Some(place);
        }
    }
    let place = |image: &Image| places.get(image.id.0 as usize).copied().flatten();
    let is_known = images.iter().all(|image| place(image).is_some());
    if is_known {
        images.sort_by_cached_key(|image| place(image));
    }
    is_known
}

/// A key that puts 2 before 10.
fn natural(name: &str) -> String {
    let mut key = String::new();
    let mut digits = String::new();
    for c in name.to_lowercase().chars().chain(['\0']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        if !digits.is_empty() {
            key += &format!("{digits:0>20}");
            digits.clear();
        }
        key.push(c);
    }
    key
}

/// From the place `after` on and round: what is to do, and once nothing is, boxes that nobody has confirmed.
fn next_to_do(members: &[Member], after: usize, current: Option<ImageId>) -> Option<ImageId> {
    let (before, after) = members.split_at(after);
    let round = || after.iter().chain(before).filter(|m| Some(m.id) != current);
    let to_do = round().find(|m| m.to_do);
    to_do
        .or_else(|| round().find(|m| m.is_open()))
        .map(|m| m.id)
}

/// The least comes first; `None` where the model's view of an image says nothing.
fn rank(sort: Sort, seen: &Seen, boxes: &[BoundingBox], size: ImageSize) -> Option<(bool, i64)> {
    // In millionths: more is noise.
    let whole = |share: f64| (share * 1e6) as i64;
    match sort {
        Sort::Order | Sort::Name => None,
        Sort::Uncertainty => Some((false, whole(-f64::from(seen.uncertainty)))),
        Sort::Energy => Some((false, whole(seen.energy(boxes, size)?))),
        Sort::WrongReason => {
            let is_wrong = seen.predicted != seen.class;
            Some((is_wrong, whole(seen.energy(boxes, size)?)))
        }
    }
}

/// What of the queue is shown, in order. The image in hand stands where it stood when it was taken up.
fn listed(
    members: &[Member],
    view: &QueueView,
    held: Option<(ImageId, Option<Member>)>,
) -> Vec<Member> {
    let as_held = |m: &Member| match held {
        Some((id, Some(was))) if id == m.id => was,
        _ => *m,
    };
    let shown = members.iter().filter(|m| {
        let m = as_held(m);
        match view.filter {
            Filter::ToDo => m.to_do,
            Filter::Done => !m.to_do && !m.second_look,
            Filter::SecondLook => m.second_look,
            Filter::All => true,
        }
    });
    let mut shown: Vec<Member> = shown.copied().collect();
    if view.sort == Sort::Order {
        shown.sort_by_key(|m| !as_held(m).to_do);
    }
    shown
}

/// How fast the images are done, for the time left.
#[derive(Debug, Clone, Copy, Default)]
struct Pace {
    last: Option<f64>,
    seconds: f64,
    images: u32,
}

impl Pace {
    /// A longer time than this between two images was a break.
    const BREAK: f64 = 120.0;
    /// Fewer images say nothing.
    const ENOUGH: u32 = 3;

    /// `after` images are to do where `before` were; `now` in seconds.
    fn note(&mut self, before: usize, after: usize, now: f64) {
        if after + 1 != before {
            return;
        }
        if let Some(last) = self.last.replace(now)
            && now - last < Self::BREAK
        {
            self.seconds += now - last;
            self.images += 1;
        }
    }

    fn left(&self, to_do: usize) -> Option<String> {
        if self.images < Self::ENOUGH || to_do == 0 {
            return None;
        }
        let minutes = self.seconds / f64::from(self.images) * to_do as f64 / 60.0;
        Some(format!("about {:.0} min left", minutes.ceil()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member((id, to_do): (i64, bool)) -> Member {
        Member {
            id: ImageId(id),
            to_do,
            boxed: !to_do,
            done: !to_do,
            second_look: false,
        }
    }

    fn queue(members: &[(i64, bool)], filter: Filter, held: Option<(i64, bool)>) -> Queue {
        let members: Vec<_> = members.iter().copied().map(member).collect();
        let held = held.map(|was| (ImageId(was.0), Some(member(was))));
        let view = QueueView {
            filter,
            ..QueueView::default()
        };
        let list = listed(&members, &view, held);
        let place = list
            .iter()
            .position(|m| held.is_some_and(|(id, _)| id == m.id))
            .unwrap_or(0);
        let current = held.map(|(id, _)| id);
        Queue {
            counts: Counts::of(&members),
            next_to_do: {
                let at = members.iter().position(|m| Some(m.id) == current);
                next_to_do(&members, at.map_or(0, |at| at + 1), current)
            },
            members,
            list,
            held,
            place,
            ..Queue::default()
        }
    }

    const FIVE: [(i64, bool); 5] = [(1, false), (2, true), (3, false), (4, true), (5, true)];

    #[test]
    fn what_needs_a_box_comes_first() {
        for (filter, held, expected) in [
            (Filter::All, None, vec![2, 4, 5, 1, 3]),
            (Filter::ToDo, None, vec![2, 4, 5]),
            (Filter::Done, None, vec![1, 3]),
            // Image 3 was just given its box and image 4 lost its own: both stay while they are in hand.
            (Filter::All, Some((3, true)), vec![2, 3, 4, 5, 1]),
            (Filter::ToDo, Some((3, true)), vec![2, 3, 4, 5]),
            (Filter::Done, Some((4, false)), vec![1, 3, 4]),
        ] {
            let ids: Vec<_> = queue(&FIVE, filter, held)
                .list
                .iter()
                .map(|m| m.id.0)
                .collect();
            assert_eq!(ids, expected, "{filter:?} with {held:?} in hand");
        }
    }

    #[test]
    fn neighbours() {
        for (held, previous, next, next_to_do) in [
            (Some((2, true)), None, Some(4), Some(4)),
            (Some((5, true)), Some(4), Some(1), Some(2)),
            (Some((3, false)), Some(1), None, Some(4)),
            // An image from elsewhere: the arrows lead into the queue.
            (Some((9, false)), None, Some(2), Some(2)),
            (None, None, Some(2), Some(2)),
        ] {
            let queue = queue(&FIVE, Filter::All, held);
            let id = |n: i64| ImageId(n);
            assert_eq!(queue.previous(), previous.map(id), "before {held:?}");
            assert_eq!(queue.next(), next.map(id), "after {held:?}");
            assert_eq!(
                queue.next_to_do(),
                next_to_do.map(id),
                "to do after {held:?}"
            );
        }
        assert_eq!(queue(&[(1, false)], Filter::All, None).next_to_do(), None);
        let last = queue(&[(1, false), (2, true)], Filter::All, Some((2, true)));
        assert_eq!(last.next_to_do(), None, "the one in hand was the last");
    }

    #[test]
    fn time_left() {
        let mut pace = Pace::default();
        for (before, after, now) in [
            (9, 8, 0.0),
            (8, 7, 20.0),
            (7, 6, 30.0),
            // Two at once came from an import; a long time was a break.
            (6, 4, 40.0),
            (4, 3, 1000.0),
        ] {
            pace.note(before, after, now);
        }
        assert_eq!(pace.left(3), None, "two images say nothing");
        pace.note(3, 2, 1030.0);
        assert_eq!(pace.left(2).as_deref(), Some("about 1 min left"));
        assert_eq!(pace.left(9).as_deref(), Some("about 3 min left"));
        assert_eq!(pace.left(0), None);
    }
}
