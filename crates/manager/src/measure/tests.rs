//! Measurements of real processes.
