//! Access-file values: what `allow` and `deny` records say about a peer.
