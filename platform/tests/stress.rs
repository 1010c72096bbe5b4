//! Several workers, processes and threads; resumes, interrupts, moves and deaths from anywhere.

mod common;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::*;
use parking_lot::Mutex;
use platform::{AddressSpace, Context, Event, Exit, MapOp, Platform, Resume, WorkerId};

const WORKERS: usize = 3;

struct Guest {
    context: Arc<dyn Context>,
    expect: u64,
    calls: u64,
}

struct World {
    rig: Rig,
    guests: Mutex<HashMap<u64, Arc<Mutex<Guest>>>>,
    spaces: Mutex<Vec<Arc<dyn AddressSpace>>>,
    parked: Mutex<Vec<(u64, i64)>>,
    next: AtomicU64,
    done: AtomicBool,
    calls: AtomicU64,
    interrupts: AtomicU64,
    deaths: AtomicU64,
}

fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

/// Each call passes a counter in rdi and checks that it comes back; each eighth call is a
/// trapped one.
fn guest_code() -> Vec<u8> {
    Asm::new()
        .raw(&[0x49, 0xff, 0xc4, 0x4c, 0x89, 0xe7]) // inc r12; mov rdi, r12
        .mov(R::Rax, 39)
        .raw(&[0x41, 0xf6, 0xc4, 0x07]) // test r12b, 7
        .raw(&[0x75, 0x07, 0x48, 0xc7, 0xc0, 56, 0, 0, 0]) // jne +7; mov rax, 56
        .syscall()
        .raw(&[0x48, 0x39, 0xf8, 0x74, 0x02, 0x0f, 0x0b]) // cmp rax, rdi; je +2; ud2
        .jmp_to(0)
        .0
}

impl World {
    fn add_guest(&self, space: &Arc<dyn AddressSpace>, worker: usize) {
        let cookie = self.next.fetch_add(1, Ordering::Relaxed);
        let Ok(context) = space.new_context(&regs_at(CODE), cookie, WorkerId(worker)) else {
            return;
        };
        let guest = Guest {
            context: context.clone(),
            expect: 1,
            calls: 0,
        };
        self.guests
            .lock()
            .insert(cookie, Arc::new(Mutex::new(guest)));
        let _ = context.resume(Resume::Regs);
    }

    fn add_space(&self, seed: &mut u64) {
        let (space, _, _) = self.rig.space(&guest_code());
        let space = if random(seed).is_multiple_of(2) {
            space.fork().unwrap()
        } else {
            space
        };
        for _ in 0..1 + random(seed) % 4 {
            self.add_guest(&space, random(seed) as usize % WORKERS);
        }
        self.spaces.lock().push(space);
    }

    fn event(&self, cookie: u64, exit: Exit, seed: &mut u64) {
        let guest = self.guests.lock().get(&cookie).cloned();
        let Some(guest) = guest else {
            panic!("event of an unknown guest: {exit:?}")
        };
        let mut guest = guest.lock();
        match exit {
            Exit::Syscall {
                nr: 39 | 56, args, ..
            } => {
                assert_eq!(args[0], guest.expect, "guest {cookie}");
                guest.expect += 1;
                guest.calls += 1;
                self.calls.fetch_add(1, Ordering::Relaxed);
                let value = args[0].cast_signed();
                match random(seed) % 16 {
                    0 => guest
                        .context
                        .set_worker(WorkerId(random(seed) as usize % WORKERS)),
                    1 => guest.context.interrupt(),
                    2 => {
                        self.parked.lock().push((cookie, value));
                        return;
                    }
                    3 => {
                        if let Some(mut regs) = guest.context.regs() {
                            regs.gp.rax = value.cast_unsigned();
                            let _ = guest.context.set_regs(&regs);
                            let _ = guest.context.resume(Resume::Regs);
                            return;
                        }
                    }
                    _ => {}
                }
                let _ = guest.context.resume(Resume::Return(value));
            }
            Exit::Interrupted => {
                self.interrupts.fetch_add(1, Ordering::Relaxed);
                let _ = guest.context.resume(Resume::Regs);
            }
            Exit::Gone { .. } => {
                self.deaths.fetch_add(1, Ordering::Relaxed);
                self.guests.lock().remove(&cookie);
            }
            other => panic!("guest {cookie}: {other:?}"),
        }
    }

    fn worker(&self, id: usize) {
        let mut seed = 0x9e37_79b9 + id as u64;
        while !self.done.load(Ordering::Relaxed) {
            let event = self
                .rig
                .platform
                .next(WorkerId(id), Some(Duration::from_millis(2)));
            if let Event::Guest { cookie, exit } = event {
                self.event(cookie, exit, &mut seed);
            }
            // Wake something that another worker parked.
            let parked = if random(&mut seed).is_multiple_of(4) {
                self.parked.lock().pop()
            } else {
                None
            };
            if let Some((cookie, value)) = parked {
                let guest = self.guests.lock().get(&cookie).cloned();
                if let Some(guest) = guest {
                    let _ = guest.lock().context.resume(Resume::Return(value));
                }
            }
        }
    }

    /// Interrupts, kills, makes and changes things from outside the workers.
    fn torment(&self, seed: &mut u64) {
        let guests: Vec<_> = self.guests.lock().values().cloned().collect();
        if let Some(guest) = guests.get(random(seed) as usize % guests.len().max(1)) {
            let context = guest.lock().context.clone();
            match random(seed) % 64 {
                0 => context.kill(),
                1 => drop(context.cpu_time()),
                _ => context.interrupt(),
            }
        }
        let mut spaces = self.spaces.lock();
        let index = random(seed) as usize % spaces.len().max(1);
        match random(seed) % 64 {
            0 => {
                let space = spaces.swap_remove(index);
                space.kill();
            }
            1 => drop(spaces.swap_remove(index)),
            2..10 => {
                let space = spaces[index].clone();
                drop(spaces);
                let offset = self.rig.take(0x1000);
                let map = MapOp::MapMemory {
                    addr: 0x7000_0000,
                    len: 0x1000,
                    offset,
                    prot: RW,
                };
                let _ = space.commit(&[
                    map,
                    MapOp::Unmap {
                        addr: 0x7000_0000,
                        len: 0x1000,
                    },
                ]);
            }
            10..14 => {
                let space = spaces[index].clone();
                drop(spaces);
                self.add_guest(&space, random(seed) as usize % WORKERS);
            }
            _ => {}
        }
    }
}

#[test]
fn everything_at_once() {
    let world = World {
        rig: Rig::new(WORKERS),
        guests: Mutex::default(),
        spaces: Mutex::default(),
        parked: Mutex::default(),
        next: AtomicU64::new(1),
        done: AtomicBool::new(false),
        calls: AtomicU64::new(0),
        interrupts: AtomicU64::new(0),
        deaths: AtomicU64::new(0),
    };
    let mut seed = 42;
    std::thread::scope(|scope| {
        for id in 0..WORKERS {
            let world = &world;
            scope.spawn(move || {
                struct Stop<'a>(&'a AtomicBool);
                impl Drop for Stop<'_> {
                    fn drop(&mut self) {
                        self.0.store(true, Ordering::Relaxed);
                    }
                }
                let _stop = Stop(&world.done);
                world.worker(id);
            });
        }
        let until = Instant::now() + Duration::from_secs(6);
        while Instant::now() < until && !world.done.load(Ordering::Relaxed) {
            while world.spaces.lock().len() < 4 {
                world.add_space(&mut seed);
            }
            world.torment(&mut seed);
            std::thread::sleep(Duration::from_micros(300));
        }
        // All that is left dies, and every guest is reported gone.
        for space in world.spaces.lock().drain(..) {
            space.kill();
        }
        let until = Instant::now() + Duration::from_secs(5);
        while !world.guests.lock().is_empty() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        world.done.store(true, Ordering::Relaxed);
    });
    let left: Vec<_> = world.guests.lock().keys().copied().collect();
    assert!(left.is_empty(), "not reported gone: {left:?}");
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    println!(
        "{} calls, {} interrupts, {} deaths",
        count(&world.calls),
        count(&world.interrupts),
        count(&world.deaths)
    );
    assert!(count(&world.calls) > 1000 && count(&world.interrupts) > 10);
}
