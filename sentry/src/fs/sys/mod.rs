//! The `sysfs` file system: `/sys`.
