//! What the tools of the comparison share: a few lines of HTTP, the recordings, the clock, and the cost of a child.
//! Nothing of voxbatch is linked: it is measured from outside, like everything else.

pub mod clock;
pub mod cost;
pub mod http;
pub mod wav;
