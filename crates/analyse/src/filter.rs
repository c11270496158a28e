//! The filter, blind to labels: which slices others disturbed, whatever was measured (METHOD, section 3). It sees only what others
//! did to the machine, never a stack's figures.

/// Foreign and stolen CPU time within a slice, as a share of one core, beyond which it doesn't count.
const FOREIGN: f64 = 0.10;
/// The kernel counts busy time in ticks of 10 ms: one for each of two CPUs at either end is no evidence.
const RESOLUTION_NS: u64 = 20_000_000;

/// What others did during a slice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disturbance {
    /// CPU time that none of our processes used, in ns.
    pub foreign_ns: u64,
    /// CPU time that the hypervisor gave to others, in ns.
    pub steal_ns: u64,
    /// The slice's length, in ns.
    pub length_ns: u64,
}

impl Disturbance {
    /// As a share of one core, less what the kernel's ticks can't tell from nothing.
    pub fn share(&self) -> f64 {
        let ns = self.foreign_ns.saturating_add(self.steal_ns).saturating_sub(RESOLUTION_NS);
        ns as f64 / self.length_ns.max(1) as f64
    }
}

/// Whether a slice is disturbed, of whose core others took `share`. One that isn't a number is: nobody knows what happened in it.
pub fn disturbed(share: f64) -> bool {
    share.is_nan() || share > FOREIGN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_a_core_is_no_disturbance_yet() {
        assert_eq!([0.0, 0.10, 0.11, f64::NAN].map(disturbed), [false, false, true, true]);
    }

    #[test]
    fn ticks_are_no_evidence() {
        let of = |foreign_ns, steal_ns| Disturbance { foreign_ns, steal_ns, length_ns: 250_000_000 }.share();
        assert_eq!(of(20_000_000, 0), 0.0);
        assert!((of(40_000_000, 5_000_000) - 0.1).abs() < 1e-12);
        assert!(of(u64::MAX, 1) > 1.0);
        assert!(Disturbance { foreign_ns: 30_000_000, ..Disturbance::default() }.share() > FOREIGN);
    }
}
