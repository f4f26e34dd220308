//! GPUs by NVML, the library that comes with NVIDIA's driver.
//!
//! Purpose: two numbers of a GPU, without a dependency and without starting a program: the library
//! is looked for when it is first asked for, and used by its C interface, which its maker keeps
//! compatible.
//! Invariants: where the library or the GPU is missing, an error says so in words; once loaded it
//! is never unloaded, so no function of it can dangle.
//! Deliberately absent: GPUs of other makers.

use std::ffi::{CStr, c_char, c_int, c_uint, c_ulonglong, c_void};
use std::sync::{Mutex, PoisonError};

/// Name of the library, as the driver installs it.
pub const LIBRARY: &CStr = c"libnvidia-ml.so.1";

/// What NVML says when all is well.
const SUCCESS: c_int = 0;

type Device = *mut c_void;

/// `nvmlUtilization_t`: percent of the time of the last sample period.
#[repr(C)]
#[derive(Default)]
struct Utilization {
    gpu: c_uint,
    memory: c_uint,
}

/// `nvmlMemory_t`: bytes.
#[repr(C)]
#[derive(Default)]
struct Memory {
    total: c_ulonglong,
    free: c_ulonglong,
    used: c_ulonglong,
}

/// The functions that are used.
struct Functions {
    handle: unsafe extern "C" fn(c_uint, *mut Device) -> c_int,
    utilization: unsafe extern "C" fn(Device, *mut Utilization) -> c_int,
    memory: unsafe extern "C" fn(Device, *mut Memory) -> c_int,
    words: unsafe extern "C" fn(c_int) -> *const c_char,
}

/// A loaded NVML.
pub struct Nvml(Functions);

/// The one that is shared by all who ask; `None` until one could be loaded.
static SHARED: Mutex<Option<Nvml>> = Mutex::new(None);

/// Asks the shared library, loading it first if need be.
///
/// # Errors
/// In words, when there is none, or as `ask` says.
pub fn ask<T>(ask: impl FnOnce(&Nvml) -> Result<T, String>) -> Result<T, String> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let nvml = match &mut *shared {
        Some(nvml) => nvml,
        none => none.insert(Nvml::load(LIBRARY)?),
    };
    ask(nvml)
}

impl Nvml {
    /// Loads and starts it. A driver that is installed later is found at a later try.
    ///
    /// # Errors
    /// In words: `no NVML: …`.
    pub fn load(name: &CStr) -> Result<Self, String> {
        // SAFETY: a valid name; loading runs the library's own start code, which is the point.
        let library = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if library.is_null() {
            return Err(format!(
                "no NVML: {} cannot be loaded",
                name.to_string_lossy()
            ));
        }
        let find = |name: &CStr| {
            // SAFETY: a library that was loaded just now, and a valid name.
            let found = unsafe { libc::dlsym(library, name.as_ptr()) };
            let missing = || format!("no NVML: it has no {}", name.to_string_lossy());
            (!found.is_null()).then_some(found).ok_or_else(missing)
        };
        let init = find(c"nvmlInit_v2")?;
        // SAFETY: in each case the function of this name has this type since NVML 5, which its
        // header file says; a null pointer was refused above.
        let (init, functions) = unsafe {
            (
                std::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> c_int>(init),
                Functions {
                    handle: std::mem::transmute::<
                        *mut c_void,
                        unsafe extern "C" fn(c_uint, *mut Device) -> c_int,
                    >(find(c"nvmlDeviceGetHandleByIndex_v2")?),
                    utilization: std::mem::transmute::<
                        *mut c_void,
                        unsafe extern "C" fn(Device, *mut Utilization) -> c_int,
                    >(find(c"nvmlDeviceGetUtilizationRates")?),
                    memory: std::mem::transmute::<
                        *mut c_void,
                        unsafe extern "C" fn(Device, *mut Memory) -> c_int,
                    >(find(c"nvmlDeviceGetMemoryInfo")?),
                    words: std::mem::transmute::<
                        *mut c_void,
                        unsafe extern "C" fn(c_int) -> *const c_char,
                    >(find(c"nvmlErrorString")?),
                },
            )
        };
        let nvml = Self(functions);
        // SAFETY: takes nothing; may be called any number of times.
        nvml.check(unsafe { init() })?;
        Ok(nvml)
    }

    fn check(&self, code: c_int) -> Result<(), String> {
        if code == SUCCESS {
            return Ok(());
        }
        // SAFETY: takes any number and gives a text that lives as long as the library, or null.
        let words = unsafe { (self.0.words)(code) };
        if words.is_null() {
            return Err(format!("NVML: error {code}"));
        }
        // SAFETY: not null, and a C string by the function's contract.
        let words = unsafe { CStr::from_ptr(words) }.to_string_lossy();
        Err(format!("NVML: {words}"))
    }

    fn device(&self, index: u32) -> Result<Device, String> {
        let mut device = std::ptr::null_mut();
        // SAFETY: writes one pointer to a place that is ours.
        self.check(unsafe { (self.0.handle)(index, &raw mut device) })?;
        Ok(device)
    }

    /// Percent of the time of the last sample period in which the GPU was at work.
    ///
    /// # Errors
    /// In words.
    pub fn busy_percent(&self, index: u32) -> Result<f64, String> {
        let device = self.device(index)?;
        let mut found = Utilization::default();
        // SAFETY: a handle of this library, and a struct of the type it writes.
        self.check(unsafe { (self.0.utilization)(device, &raw mut found) })?;
        Ok(f64::from(found.gpu))
    }

    /// Percent of its memory in use.
    ///
    /// # Errors
    /// In words.
    pub fn memory_percent(&self, index: u32) -> Result<f64, String> {
        let device = self.device(index)?;
        let mut found = Memory::default();
        // SAFETY: as in `busy_percent`.
        self.check(unsafe { (self.0.memory)(device, &raw mut found) })?;
        if found.total == 0 {
            return Err("NVML: the GPU has no memory of its own".to_owned());
        }
        #[expect(clippy::cast_precision_loss, reason = "a percentage")]
        Ok(found.used as f64 * 100.0 / found.total as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::process::Command;

    #[test]
    fn a_machine_without_it_says_so() {
        let missing = Nvml::load(c"libnvidia-ml-none.so.9").err().unwrap();
        assert_eq!(missing, "no NVML: libnvidia-ml-none.so.9 cannot be loaded");
    }

    const STAND_IN: &str = r#"
        int nvmlInit_v2(void) { return 0; }
        int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **d) {
            *d = (void *)(unsigned long)(i + 1);
            return i < 2 ? 0 : 2;
        }
        int nvmlDeviceGetUtilizationRates(void *d, unsigned *u) {
            u[0] = 40 + (unsigned)(unsigned long)d;
            u[1] = 7;
            return 0;
        }
        int nvmlDeviceGetMemoryInfo(void *d, unsigned long long *m) {
            m[0] = 1000; m[1] = 750; m[2] = 250;
            return 0;
        }
        const char *nvmlErrorString(int code) { return code == 2 ? "Invalid Argument" : 0; }
    "#;

    /// A library of the same interface, by whatever C compiler there is.
    #[test]
    fn its_interface_is_used_as_its_header_says() {
        let dir = tempfile::tempdir().unwrap();
        let (source, library) = (dir.path().join("nvml.c"), dir.path().join("nvml.so"));
        std::fs::write(&source, STAND_IN).unwrap();
        let mut compiler = Command::new("cc");
        compiler
            .args(["-shared", "-fPIC", "-w", "-o"])
            .args([&library, &source]);
        if !compiler.status().is_ok_and(|status| status.success()) {
            // The rest of the workspace needs one too, so this is no ordinary machine.
            return;
        }
        let name = CString::new(library.to_str().unwrap()).unwrap();
        let nvml = Nvml::load(&name).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(nvml.busy_percent(1), Ok(42.0));
        assert_eq!(nvml.memory_percent(0), Ok(25.0));
        assert_eq!(
            nvml.busy_percent(2),
            Err("NVML: Invalid Argument".to_owned())
        );
    }
}
