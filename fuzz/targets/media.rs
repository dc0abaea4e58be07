//! Demuxers of others may panic, which is caught and counts as no answer; they may not take the machine's memory.
#![no_main]

use std::alloc::{GlobalAlloc, Layout, System};

use libfuzzer_sys::fuzz_target;

/// Refuses, loudly, what no bounded look at a file needs.
struct Frugal;

const MOST: usize = 256 << 20;

// SAFETY: the system's allocator does it all.
unsafe impl GlobalAlloc for Frugal {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() > MOST {
            eprintln!("{} bytes at once", layout.size());
            std::process::abort();
        }
        // SAFETY: handed through.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.size() > MOST {
            eprintln!("{} bytes at once", layout.size());
            std::process::abort();
        }
        // SAFETY: handed through.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if size > MOST {
            eprintln!("{size} bytes at once");
            std::process::abort();
        }
        // SAFETY: handed through.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: handed through.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static FRUGAL: Frugal = Frugal;

fuzz_target!(
    init: {
        let ours = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !panic.location().is_some_and(|at| at.file().contains("symphonia")) {
                ours(panic);
            }
        }));
    },
    |data: &[u8]| voxbatch_fuzz::media(data)
);
