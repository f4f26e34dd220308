//! Samples of real sources, and sources that hang.

use super::*;
