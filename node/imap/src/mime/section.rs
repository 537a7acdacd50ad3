//! Where the bytes of `BODY[..]` lie (RFC 3501 section 6.4.5).

use std::ops::Range;

use super::structure::{Kind, Part, Structure};

/// Which text of a message or a part.
///
/// HEADER.FIELDS and HEADER.FIELDS.NOT are [`PartText::Header`] through a [`super::FieldFilter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartText {
    /// All of it: a message with its header, a part without.
    Whole,
    /// The header of a message, its blank line included.
    Header,
    /// A message without its header.
    Text,
    /// The header of a part, its blank line included.
    Mime,
}

/// What a section's part numbers lead to.
#[derive(Clone, Copy)]
enum Target<'a> {
    /// A message itself: no part number, or no more of them.
    Message(&'a Part),
    /// A part, perhaps a message/rfc822.
    Part(&'a Part),
}

/// The bytes of a section, as offsets into the message; `None` if there is no such part, or if it
/// has no such text. `part` are part numbers from the outside in, none for the message itself.
///
/// A message that is no multipart has one part, its body. A part that is a message/rfc822 has the
/// parts of the message inside, and its HEADER and TEXT are those of that message.
pub fn section(structure: &Structure, part: &[u32], text: PartText) -> Option<Range<u64>> {
    match target(structure, part)? {
        Target::Message(message) => match text {
            PartText::Whole => Some(0..structure.size()),
            PartText::Header => Some(message.header.clone()),
            PartText::Text => Some(message.body.clone()),
            PartText::Mime => None,
        },
        Target::Part(part) => match text {
            PartText::Whole => Some(part.body.clone()),
            PartText::Mime => Some(part.header.clone()),
            PartText::Header => inside(structure, part).map(|message| message.header.clone()),
            PartText::Text => inside(structure, part).map(|message| message.body.clone()),
        },
    }
}

/// The part that part numbers lead to, at least one; `None` if there is none.
pub fn part_of<'a>(structure: &'a Structure, part: &[u32]) -> Option<&'a Part> {
    match target(structure, part)? {
        Target::Message(_) => None,
        Target::Part(part) => Some(part),
    }
}

fn target<'a>(structure: &'a Structure, part: &[u32]) -> Option<Target<'a>> {
    let message = Target::Message(structure.root());
    part.iter().try_fold(message, |target, &number| {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        child(structure, target, index)
    })
}

fn child<'a>(structure: &'a Structure, target: Target<'a>, index: usize) -> Option<Target<'a>> {
    let (Target::Message(part) | Target::Part(part)) = target;
    if let Kind::Multipart(children) = &part.kind {
        return children
            .get(index)
            .map(|&child| Target::Part(structure.part(child)));
    }
    match target {
        Target::Message(message) => (index == 0).then_some(Target::Part(message)),
        Target::Part(part) => child(structure, Target::Message(inside(structure, part)?), index),
    }
}

/// The message inside a message/rfc822.
fn inside<'a>(structure: &'a Structure, part: &Part) -> Option<&'a Part> {
    match part.kind {
        Kind::Message(number) => Some(structure.part(number)),
        _ => None,
    }
}
