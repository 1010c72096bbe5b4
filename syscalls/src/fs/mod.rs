//! Calls on files by path and on their attributes.
