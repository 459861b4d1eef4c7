//! libpcap, loaded at run time.
