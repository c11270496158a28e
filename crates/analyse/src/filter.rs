//! The filter of quads, blind to labels: a disturbed slice takes its whole quad with it, whatever was measured (METHOD,
//! section 3). It sees only what others did to the machine, never a stack's figures.

/// Foreign and stolen CPU time within a slice, as a share of one core, beyond which its quad is dropped.
pub const FOREIGN: f64 = 0.10;
/// Undisturbed quads that a block needs; one with fewer is void and made again.
pub const FEWEST_QUADS: usize = 4;
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

/// What is left of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// For each quad in order, whether it counts.
    pub quads: Vec<bool>,
}

impl Kept {
    /// Quads that were dropped.
    pub fn dropped(&self) -> usize {
        self.quads.iter().filter(|kept| !**kept).count()
    }

    /// Too few are left: the block is made again.
    pub fn void(&self) -> bool {
        self.quads.len() - self.dropped() < FEWEST_QUADS
    }
}

/// Which of a block's quads count, by the share of a core that others took in each of their four slices. A share that isn't
/// a number drops its quad: nobody knows what happened in it.
pub fn keep_quads(shares: &[[f64; 4]]) -> Kept {
    Kept { quads: shares.iter().map(|quad| quad.iter().all(|share| *share <= FOREIGN)).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_disturbed_slice_takes_its_quad() {
        let mut shares = [[0.0, 0.05, 0.10, 0.02]; 8];
        assert_eq!(keep_quads(&shares).dropped(), 0);
        shares[2][3] = 0.11;
        shares[5][0] = f64::NAN;
        let kept = keep_quads(&shares);
        assert_eq!(kept.quads, [true, true, false, true, true, false, true, true]);
        assert!(!kept.void());
        shares[0] = [1.0; 4];
        shares[1][1] = 0.5;
        assert!(!keep_quads(&shares).void());
        shares[7][2] = 0.2;
        assert_eq!(keep_quads(&shares).dropped(), 5);
        assert!(keep_quads(&shares).void());
        assert!(keep_quads(&[]).void());
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
