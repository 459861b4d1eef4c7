//! libpcap, loaded at run time: compiles tcpdump expressions, nothing else.
//!
//! This room knows C strings, handles and who frees what. It does not know
//! what an expression means, nor what becomes of a program.
//! - Nothing is linked at build time: without the library everything but
//!   filter expressions works.
//! - A program is copied out before libpcap's copy is freed; no pointer of
//!   libpcap's leaves this file.
//! - All calls that compile or open go one at a time ([`TURN`]).
//!
//! Sources: pcap(3PCAP), pcap_compile(3PCAP), libpcap 1.10 `pcap/pcap.h`,
//! `pcap/bpf.h`.

use std::ffi::{CStr, CString, c_char, c_int, c_uint};
use std::fmt;
use std::marker::PhantomData;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, OnceLock};

use crate::capture::filter::Instruction;

/// Names under which libpcap 1.x is installed: Debian and its children, then
/// Fedora, Arch, SUSE and Alpine, then whatever a developer package left.
const NAMES: [&str; 3] = ["libpcap.so.0.8", "libpcap.so.1", "libpcap.so"];

/// What libpcap's accepting instructions return: tcpdump's default snaplen,
/// libpcap's MAXIMUM_SNAPLEN. Our rings put their own in its place.
const SNAPLEN: c_int = 262_144;

/// The mask that `ip broadcast` takes: none, as in tcpdump 4.99 (unless -f is
/// given), so that it finds 255.255.255.255 and 0.0.0.0, live and in files.
const NETMASK: c_uint = 0;

/// PCAP_ERRBUF_SIZE, and some more, as a buffer too small would be written past.
const ERROR_SPACE: usize = 1024;

/// PCAP_ERROR_IFACE_NOT_UP (`pcap/pcap.h`).
const NOT_UP: c_int = -9;

/// pcap_compile is reentrant only since libpcap 1.8 (before, scanner and code
/// generator kept their state in globals), and the loaded one may be older.
static TURN: Mutex<()> = Mutex::new(());

/// The `pcap_t` of `pcap/pcap.h`, never looked into.
#[repr(C)]
struct Pcap {
    _opaque: [u8; 0],
}

/// `struct bpf_program` of `pcap/bpf.h`.
#[repr(C)]
struct BpfProgram {
    len: c_uint,
    instructions: *mut Instruction,
}

const _: () = assert!(size_of::<Instruction>() == 8 && align_of::<Instruction>() == 4);

type OpenDead = unsafe extern "C" fn(c_int, c_int) -> *mut Pcap;
type Create = unsafe extern "C" fn(*const c_char, *mut c_char) -> *mut Pcap;
type OfHandle = unsafe extern "C" fn(*mut Pcap) -> c_int;
type Compile = unsafe extern "C" fn(*mut Pcap, *mut BpfProgram, *const c_char, c_int, c_uint) -> c_int;
type FreeCode = unsafe extern "C" fn(*mut BpfProgram);
type GetErr = unsafe extern "C" fn(*mut Pcap) -> *mut c_char;
type StatusToStr = unsafe extern "C" fn(c_int) -> *const c_char;
type Close = unsafe extern "C" fn(*mut Pcap);

/// libpcap's functions. They stay callable for ever: the library is never unloaded.
pub struct Library {
    open_dead: OpenDead,
    create: Create,
    activate: OfHandle,
    datalink: OfHandle,
    compile: Compile,
    freecode: FreeCode,
    geterr: GetErr,
    statustostr: StatusToStr,
    close: Close,
}

/// Why libpcap gave no handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The interface exists and is down: libpcap does not open such.
    NotUp,
    /// Anything else, in libpcap's words.
    Refused(String),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::NotUp => f.write_str("it is down: bring it up with `ip link set dev NAME up`"),
            OpenError::Refused(message) => f.write_str(message),
        }
    }
}

/// The library, loaded by the first call.
///
/// # Errors
/// The dynamic loader's sentences, one for each name tried.
pub fn library() -> Result<&'static Library, &'static str> {
    static LOADED: OnceLock<Result<Library, String>> = OnceLock::new();
    LOADED.get_or_init(|| Library::load(&NAMES)).as_ref().map_err(String::as_str)
}

impl Library {
    fn load(names: &[&str]) -> Result<Library, String> {
        let mut why = Vec::new();
        for name in names {
            // SAFETY: libpcap's initialisers (it has none of its own; those of
            // libdbus, libnl and libibverbs, which some builds pull in) have
            // no preconditions, and we load by a system library's name.
            match unsafe { libloading::Library::new(name) } {
                Ok(library) => return Library::of(library),
                Err(error) => why.push(error.to_string()),
            }
        }
        Err(why.join("; "))
    }

    fn of(library: libloading::Library) -> Result<Library, String> {
        // Leaked on purpose: function pointers and error texts point into it.
        let library: &'static libloading::Library = Box::leak(Box::new(library));
        fn get<T: Copy>(library: &'static libloading::Library, name: &str) -> Result<T, String> {
            // SAFETY: each name is asked for with the prototype that pcap(3PCAP)
            // has given it since libpcap 1.0 (the types above), and the library
            // is never unloaded, so the copied pointer stays valid.
            unsafe { library.get::<T>(name.as_bytes()) }.map(|symbol| *symbol).map_err(|e| e.to_string())
        }
        Ok(Library {
            open_dead: get(library, "pcap_open_dead")?,
            create: get(library, "pcap_create")?,
            activate: get(library, "pcap_activate")?,
            datalink: get(library, "pcap_datalink")?,
            compile: get(library, "pcap_compile")?,
            freecode: get(library, "pcap_freecode")?,
            geterr: get(library, "pcap_geterr")?,
            statustostr: get(library, "pcap_statustostr")?,
            close: get(library, "pcap_close")?,
        })
    }

    /// A handle without a source, for frames of link type `dlt` (a DLT_ number).
    ///
    /// # Errors
    /// Only for want of memory.
    pub fn open_dead(&'static self, dlt: c_int) -> Result<Handle, OpenError> {
        let _turn = turn();
        // SAFETY: takes two integers by value, any values; gives a handle or null.
        let raw = unsafe { (self.open_dead)(dlt, SNAPLEN) };
        Handle::new(self, raw).ok_or_else(|| OpenError::Refused("out of memory".into()))
    }

    /// A handle on a live interface: opens a packet socket and a small ring of
    /// libpcap's for as long as the handle lives. Needs CAP_NET_RAW.
    ///
    /// # Errors
    /// libpcap's words: no such interface, no permission, interface down.
    pub fn open_live(&'static self, interface: &CStr) -> Result<Handle, OpenError> {
        let _turn = turn();
        let mut space = [0; ERROR_SPACE];
        // SAFETY: `interface` ends in a zero byte and outlives the call (the
        // name is copied); `space` is larger than PCAP_ERRBUF_SIZE (256).
        let raw = unsafe { (self.create)(interface.as_ptr(), space.as_mut_ptr()) };
        let handle = Handle::new(self, raw).ok_or_else(|| OpenError::Refused(text_in(&space)))?;
        // SAFETY: a handle of pcap_create, not yet activated, ours alone.
        let status = unsafe { (self.activate)(handle.raw.as_ptr()) };
        match status {
            0.. => Ok(handle), // positive: warnings, the handle is good
            NOT_UP => Err(OpenError::NotUp),
            _ => Err(OpenError::Refused(handle.activation_error(status))),
        }
    }
}

/// An open `pcap_t`; closed when dropped.
pub struct Handle {
    library: &'static Library,
    raw: NonNull<Pcap>,
    /// A pcap_t belongs to one thread at a time.
    _not_send: PhantomData<*mut ()>,
}

impl Handle {
    fn new(library: &'static Library, raw: *mut Pcap) -> Option<Handle> {
        NonNull::new(raw).map(|raw| Handle { library, raw, _not_send: PhantomData })
    }

    /// DLT_ number of the frames that this handle's programs look at.
    pub fn datalink(&self) -> c_int {
        // SAFETY: an open handle (it is closed in `drop` only), activated or dead.
        unsafe { (self.library.datalink)(self.raw.as_ptr()) }
    }

    /// Compiles and optimises an expression. Blocks on name look-ups where the
    /// expression holds names.
    ///
    /// # Errors
    /// libpcap's sentence, which names no place in the expression.
    pub fn compile(&self, expression: &str) -> Result<Vec<Instruction>, String> {
        let Ok(expression) = CString::new(expression) else {
            return Err("syntax error: a zero byte".into());
        };
        let _turn = turn();
        let mut program = BpfProgram { len: 0, instructions: std::ptr::null_mut() };
        // SAFETY: an open handle, a program for libpcap to fill in, a C string
        // that outlives the call (it is not kept), two integers.
        let status = unsafe {
            (self.library.compile)(self.raw.as_ptr(), &mut program, expression.as_ptr(), 1, NETMASK)
        };
        if status != 0 {
            return Err(self.error());
        }
        let instructions = if program.instructions.is_null() {
            Vec::new()
        } else {
            // SAFETY: pcap_compile succeeded, so `instructions` points to `len`
            // elements of struct bpf_insn, whose layout is Instruction's
            // (asserted above); they are ours until pcap_freecode below.
            unsafe { std::slice::from_raw_parts(program.instructions, program.len as usize) }.to_vec()
        };
        // SAFETY: filled in by a pcap_compile that succeeded; freed once; the
        // slice made of it above is gone.
        unsafe { (self.library.freecode)(&mut program) };
        Ok(instructions)
    }

    /// The last error's text.
    fn error(&self) -> String {
        // SAFETY: an open handle; pcap_geterr gives its own error buffer, a C
        // string that lives as long as the handle and is copied here.
        let text = unsafe { CStr::from_ptr((self.library.geterr)(self.raw.as_ptr())) };
        text.to_string_lossy().into_owned()
    }

    /// What pcap_activate's status means: the name of the trouble, and more
    /// words where it left some.
    fn activation_error(&self, status: c_int) -> String {
        // SAFETY: takes an integer, any; gives a constant C string or a static buffer.
        let name = unsafe { CStr::from_ptr((self.library.statustostr)(status)) }.to_string_lossy();
        let detail = self.error();
        match (status, detail.is_empty()) {
            (-1, false) => detail, // PCAP_ERROR: generic, the detail is the whole
            (_, true) => name.into_owned(),
            (_, false) => format!("{name} ({detail})"),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: an open handle, closed here and nowhere else.
        unsafe { (self.library.close)(self.raw.as_ptr()) }
    }
}

/// Whether the kernel calls an interface, up or down, ARPHRD_ETHER
/// (`linux/if_arp.h`): what libpcap asks too before it names a link type.
/// (By ioctl: sysfs may show another network namespace than the thread's.)
pub fn is_ethernet(interface: &CStr) -> bool {
    let Ok(socket) =
        rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None)
    else {
        return false;
    };
    // SAFETY: struct ifreq is plain data, for which all zeros is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let name = interface.to_bytes();
    if name.len() >= request.ifr_name.len() {
        return false;
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name) {
        *to = from.cast_signed();
    }
    // SAFETY: an open socket and a struct ifreq with a name that ends in a zero
    // byte (shorter than its space, the rest is zeros), which SIOCGIFHWADDR
    // fills in; the union is read only where it did, as the address it then holds.
    unsafe {
        libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFHWADDR as _, &raw mut request) == 0
            && request.ifr_ifru.ifru_hwaddr.sa_family == libc::ARPHRD_ETHER
    }
}

/// Our turn to call. A thread that panicked held nothing of libpcap's half
/// done that another could see, so poison is ignored.
fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The C string in an error buffer.
fn text_in(space: &[c_char]) -> String {
    let bytes: Vec<u8> = space.iter().take_while(|&&c| c != 0).map(|&c| c.cast_unsigned()).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_told_by_every_name_tried() {
        let error = Library::load(&["libpcap-none.so.7", "libpcap-none.so.8"]).err().expect("not there");
        assert!(error.contains("libpcap-none.so.7") && error.contains("libpcap-none.so.8"), "{error}");
    }

    #[test]
    fn a_library_that_is_not_libpcap_is_refused() {
        let error = Library::load(&["libc.so.6"]).err().expect("no pcap_open_dead in it");
        assert!(error.contains("pcap_open_dead"), "{error}");
    }
}
