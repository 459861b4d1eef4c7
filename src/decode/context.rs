//! What decoding has to know of an interface, beside the frames themselves.
//!
//! Nearly all frames need no more than to be understood; which ones do is known
//! before the first of them, by direction, so that a frame costs one question.
//! Knows directions and groups; does not know what is done for those that need it.

use super::DirectionRule;
use crate::capture::Direction;

/// What decoding has to know of an interface.
#[derive(Clone, Debug, Default)]
pub struct LinkContext {
    /// Link group, 0 to 127.
    pub group: u8,
    /// See [`DirectionRule`].
    pub rule: DirectionRule,
    /// Its frames come from a file, so super-frames are not marked.
    pub from_file: bool,
    /// Another watched device below it has the same packets.
    pub second_copy: bool,
    /// It is one of several that share a load: how a frame begins that it sends
    /// is kept, for its flow's link-layer addresses.
    pub shares_load: bool,
}

/// What frames need besides being understood: nothing, or
/// how they begin to be kept,
pub(super) const HEAD: u8 = 1;
/// or [`super::Decoder::apply_context`].
pub(super) const REST: u8 = 2;

/// An interface, and what its frames need: two bits each for those that were
/// received, sent, and of which nobody told it.
#[derive(Clone, Debug)]
pub(super) struct KnownLink {
    pub context: LinkContext,
    needs: u8,
}

/// One that nobody has told of.
pub(super) static ALONE: KnownLink = KnownLink {
    context: LinkContext {
        group: 0,
        rule: DirectionRule::AsTold,
        from_file: false,
        second_copy: false,
        shares_load: false,
    },
    needs: 0,
};

impl KnownLink {
    pub fn of(context: LinkContext) -> KnownLink {
        let need = |direction: Option<Direction>| match direction {
            _ if context.second_copy => REST,
            // A file's host by its address is seen before anything is understood.
            None if context.shares_load || matches!(context.rule, DirectionRule::Networks(_)) => REST,
            Some(Direction::Tx) if context.shares_load => HEAD,
            _ => 0,
        };
        let all = [Some(Direction::Rx), Some(Direction::Tx), None].into_iter();
        let needs = all.fold(0, |needs, one| needs | need(one) << place_of(one));
        KnownLink { context, needs }
    }

    /// What its frames of this direction need.
    #[inline]
    pub fn needs(&self, direction: Option<Direction>) -> u8 {
        self.needs >> place_of(direction) & 3
    }
}

#[inline]
fn place_of(direction: Option<Direction>) -> u8 {
    2 * direction.map_or(2, |direction| direction as u8)
}
