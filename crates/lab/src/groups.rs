//! Which stacks are up together: all of them where memory allows, else groups that each have the baseline. Who
//! meets whom is drawn anew in each block, so that no pair is always apart.

use rand::{Rng, seq::SliceRandom};

/// What groups are made of.
pub struct Grouping {
    /// Index of the baseline.
    pub baseline: usize,
    /// Memory of each stack under load, in bytes.
    pub memory_bytes: Vec<u64>,
    /// Memory for a group, in bytes.
    pub room_bytes: u64,
    /// Most stacks that are up together: the more there are, the further apart in time are those that are compared.
    pub most: usize,
}

impl Grouping {
    /// The groups of one block, each in random order.
    pub fn draw(&self, rng: &mut impl Rng) -> Vec<Vec<usize>> {
        let mut others: Vec<usize> =
            (0..self.memory_bytes.len()).filter(|&index| index != self.baseline).collect();
        others.shuffle(rng);
        let mut groups: Vec<Vec<usize>> = self.pack(&others);
        for group in &mut groups {
            group.shuffle(rng);
        }
        groups
    }

    /// Whether every stack is up in every group.
    pub fn all_together(&self) -> bool {
        let stacks = self.memory_bytes.len();
        stacks < 3 || (stacks <= self.most && self.memory_bytes.iter().sum::<u64>() <= self.room_bytes)
    }

    fn pack(&self, others: &[usize]) -> Vec<Vec<usize>> {
        if self.all_together() {
            return vec![(0..self.memory_bytes.len()).collect()];
        }
        let fewest = others.len().div_ceil(self.most - 1);
        // Groups of even size: a small last one would be measured under other conditions than the rest.
        let even = others.len().div_ceil(fewest);
        let base = self.memory_bytes[self.baseline];
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let mut bytes = 0;
        for &other in others {
            let fits = bytes + self.memory_bytes[other] <= self.room_bytes;
            match groups.last_mut() {
                Some(group) if group.len() <= even && fits => group.push(other),
                _ => {
                    groups.push(vec![self.baseline, other]);
                    bytes = base;
                }
            }
            bytes += self.memory_bytes[other];
        }
        groups
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const MOST: usize = 24;

    fn draw(stacks: usize, room: u64, seed: u64) -> Vec<Vec<usize>> {
        let grouping = Grouping { baseline: 1, memory_bytes: vec![10; stacks], room_bytes: room, most: MOST };
        grouping.draw(&mut ChaCha8Rng::seed_from_u64(seed))
    }

    fn sorted(mut group: Vec<usize>) -> Vec<usize> {
        group.sort_unstable();
        group
    }

    #[test]
    fn all_are_together_where_they_fit() {
        assert_eq!(draw(4, 40, 1).into_iter().map(sorted).collect::<Vec<_>>(), [vec![0, 1, 2, 3]]);
        assert_eq!(draw(2, 1, 1).into_iter().map(sorted).collect::<Vec<_>>(), [vec![0, 1]]);
    }

    #[test]
    fn each_other_one_is_in_one_group_with_the_baseline() {
        for (stacks, room) in [(4, 20), (9, 35), (60, 10_000), (47, 100)] {
            let groups = draw(stacks, room, 3);
            let mut others: Vec<usize> = groups.iter().flatten().copied().filter(|&one| one != 1).collect();
            others.sort_unstable();
            assert_eq!(others, (0..stacks).filter(|&one| one != 1).collect::<Vec<_>>());
            for group in &groups {
                assert_eq!(group.iter().filter(|&&one| one == 1).count(), 1);
                assert!(group.len() == 2 || group.len() as u64 * 10 <= room, "{group:?} in {room}");
                assert!(group.len() <= MOST);
            }
        }
    }

    #[test]
    fn two_together_are_duets_with_the_baseline() {
        let grouping = Grouping { baseline: 0, memory_bytes: vec![1; 4], room_bytes: 100, most: 2 };
        let groups = grouping.draw(&mut ChaCha8Rng::seed_from_u64(5));
        let mut groups: Vec<_> = groups.into_iter().map(sorted).collect();
        groups.sort_unstable();
        assert_eq!(groups, [vec![0, 1], vec![0, 2], vec![0, 3]]);
    }

    #[test]
    fn who_meets_whom_differs_between_blocks() {
        let meet = |seed| draw(60, 10_000, seed).into_iter().map(sorted).collect::<Vec<_>>();
        assert_ne!(meet(1), meet(2));
        assert_eq!(meet(1), meet(1));
    }
}
