//! Turns per second of three loops in turn, 5 ms each: `rustc -O loops.rs && taskset -c 1 ./loops SECONDS > loops.txt`.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

const LENGTH: Duration = Duration::from_millis(5);

/// One chain: each step waits for the one before it.
fn chain(begin: Instant) -> u64 {
    let mut turns = 0;
    let mut value = 1u64;
    while begin.elapsed() < LENGTH {
        for _ in 0..10_000 {
            value = black_box(value.wrapping_mul(6364136223846793005).wrapping_add(1));
        }
        turns += 10_000;
    }
    turns
}

/// Eight chains side by side.
fn wide(begin: Instant) -> u64 {
    let mut turns = 0;
    let mut values = [1u64, 2, 3, 4, 5, 6, 7, 8];
    while begin.elapsed() < LENGTH {
        for _ in 0..2_000 {
            for value in &mut values {
                *value = value.rotate_left(5) ^ value.wrapping_add(0x9e3779b97f4a7c15);
            }
        }
        black_box(&mut values);
        turns += 2_000;
    }
    turns
}

/// A small interpreter: a table of random bytes, a branch for each, a stack of sixteen.
fn interpreter(begin: Instant) -> u64 {
    let mut code = [0u8; 1024];
    let mut seed = 12345u64;
    for byte in code.iter_mut() {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        *byte = (seed >> 60) as u8 & 7;
    }
    let code = black_box(code);
    let mut stack = [0u64; 16];
    let (mut turns, mut top) = (0, 0usize);
    while begin.elapsed() < LENGTH {
        for _ in 0..4 {
            for &byte in &code {
                match byte {
                    0 => stack[top & 15] = stack[(top + 1) & 15].wrapping_add(3),
                    1 => top = top.wrapping_add(1),
                    2 => stack[top & 15] ^= stack[(top + 5) & 15] << 1,
                    3 => top = top.wrapping_sub(1),
                    4 => stack[top & 15] = stack[top & 15].rotate_left(7),
                    5 => stack[(top + 2) & 15] = stack[top & 15].wrapping_mul(5),
                    6 => stack[(top + 3) & 15] = !stack[top & 15],
                    _ if stack[top & 15] & 1 == 0 => top = top.wrapping_add(2),
                    _ => stack[top & 15] = stack[top & 15].wrapping_add(1),
                }
            }
        }
        black_box(&mut stack);
        turns += 4096;
    }
    turns
}

fn main() {
    let seconds: u64 = std::env::args().nth(1).unwrap().parse().unwrap();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(seconds) {
        for run in [chain, wide, interpreter] {
            let begin = Instant::now();
            let turns = run(begin);
            print!("{:.0} ", turns as f64 / begin.elapsed().as_secs_f64());
        }
        println!();
    }
}
