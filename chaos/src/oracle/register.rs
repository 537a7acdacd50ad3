//! One flag of one message, written by several and read by several.

/// The values that a flag may have had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Values {
    pub(super) clear: bool,
    pub(super) set: bool,
}

impl Values {
    pub(super) const EITHER: Self = Self {
        clear: true,
        set: true,
    };

    pub(super) fn of(value: bool) -> Self {
        Self {
            clear: !value,
            set: value,
        }
    }

    pub(super) fn allow(self, value: bool) -> bool {
        if value { self.set } else { self.clear }
    }

    fn or(self, other: Self) -> Self {
        Self {
            clear: self.clear || other.clear,
            set: self.set || other.set,
        }
    }
}

/// Every write to the flag, the first of which came with the message.
#[derive(Clone, Debug, Default)]
pub(super) struct Register {
    writes: Vec<Write>,
}

#[derive(Clone, Debug)]
struct Write {
    begin: usize,
    /// None: it may take effect at any time after its beginning.
    over: Option<usize>,
    values: Values,
}

impl Register {
    pub(super) fn write(&mut self, begin: usize, over: Option<usize>, values: Values) {
        self.writes.push(Write {
            begin,
            over,
            values,
        });
    }

    pub(super) fn is_written(&self) -> bool {
        !self.writes.is_empty()
    }

    /// What a read that lasts from `begin` to `end` may find.
    ///
    /// A write counts unless another one, which began after it was over, was itself over before the
    /// read began: then it was overwritten for certain.
    pub(super) fn readable(&self, begin: usize, end: usize) -> Values {
        let over_before = |write: &&Write| write.over.is_some_and(|over| over < begin);
        let last = self
            .writes
            .iter()
            .filter(over_before)
            .map(|write| write.begin)
            .max();
        let overwritten = |write: &Write| match (write.over, last) {
            (Some(over), Some(last)) => over < last,
            _ => false,
        };
        self.writes
            .iter()
            .filter(|write| write.begin < end && !overwritten(write))
            .fold(Values::default(), |values, write| values.or(write.values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_acknowledged_write_counts() {
        let mut flag = Register::default();
        flag.write(0, Some(1), Values::of(false));
        assert_eq!(flag.readable(2, 3), Values::of(false));
        flag.write(4, Some(6), Values::of(true));
        assert_eq!(flag.readable(5, 7), Values::EITHER);
        assert_eq!(flag.readable(7, 8), Values::of(true));
        flag.write(9, Some(10), Values::of(false));
        assert_eq!(flag.readable(11, 12), Values::of(false));
    }

    #[test]
    fn an_unknown_write_may_come_at_any_later_time() {
        let mut flag = Register::default();
        flag.write(0, Some(1), Values::of(false));
        flag.write(2, None, Values::of(true));
        assert_eq!(flag.readable(3, 4), Values::EITHER);
        flag.write(5, Some(6), Values::of(false));
        assert_eq!(flag.readable(7, 8), Values::EITHER);
        assert_eq!(flag.readable(0, 2), Values::of(false));
    }
}
