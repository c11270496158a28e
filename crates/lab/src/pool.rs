//! A few threads for many pieces of work, whose results keep the order of the pieces.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

/// The fewest at once: while one waits for the network, a disk or another process, one works.
const FEWEST: usize = 2;

/// Pieces of work to do at once on so many CPUs: as many as CPUs, from 2 to `most`.
pub fn at_once(cpus: usize, most: usize) -> usize {
    cpus.clamp(FEWEST, most.max(FEWEST))
}

/// Does `work` on each item, on at most `threads` threads; items are begun in their order, and the results have it too.
///
/// # Errors
/// The first error, by the items' order. Once there is one no other item is begun, and those that were are waited for.
pub fn side_by_side<'a, T: Sync, R: Send, E: Send>(
    items: &'a [T],
    threads: usize,
    work: impl Fn(usize, &'a T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let results: Vec<Mutex<Option<Result<R, E>>>> = items.iter().map(|_| Mutex::new(None)).collect();
    let worker = || {
        while !failed.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return };
            let result = work(index, item);
            if result.is_err() {
                failed.store(true, Ordering::Relaxed);
            }
            *results[index].lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        }
    };
    thread::scope(|scope| {
        for _ in 0..threads.min(items.len()) {
            scope.spawn(worker);
        }
    });
    // What wasn't begun comes after the first error, which ends the collecting.
    let done = results.into_iter().filter_map(|one| one.into_inner().unwrap_or_else(PoisonError::into_inner));
    done.collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn results_have_the_items_order_whichever_ends_first() {
        // The first ends only after the second: with one thread at a time this would never end.
        let second_is_done = Barrier::new(2);
        let done = side_by_side(&[0, 1, 2, 3], 2, |index, item| {
            if index < 2 {
                second_is_done.wait();
            }
            Ok::<_, ()>((index, item * 10))
        });
        assert_eq!(done, Ok(vec![(0, 0), (1, 10), (2, 20), (3, 30)]));
    }

    #[test]
    fn no_more_than_the_threads_are_at_work_at_once() {
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let items: Vec<usize> = (0..40).collect();
        let done = side_by_side(&items, 3, |_, &item| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            thread::yield_now();
            now.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, ()>(item)
        });
        assert_eq!(done, Ok(items));
        assert!((1..=3).contains(&most.load(Ordering::SeqCst)));
    }

    #[test]
    fn the_first_items_error_is_told_and_nothing_is_begun_after_an_error() {
        let begun = AtomicUsize::new(0);
        let both = Barrier::new(2);
        let done = side_by_side(&[0, 1, 2, 3, 4, 5], 2, |index, _| {
            begun.fetch_add(1, Ordering::Relaxed);
            both.wait();
            Err::<(), _>(index)
        });
        assert_eq!((done, begun.into_inner()), (Err(0), 2));
        assert_eq!(side_by_side(&[(); 0], 2, |_, ()| Ok::<_, ()>(())), Ok(Vec::new()));
    }

    #[test]
    fn a_few_are_done_at_once_on_few_cpus_and_on_many() {
        assert_eq!([1, 2, 3, 64].map(|cpus| at_once(cpus, 4)), [2, 2, 3, 4]);
        assert_eq!(at_once(8, 1), 2);
    }
}
