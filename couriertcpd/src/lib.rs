//! The listener: sockets, limits, access control, one fork and exec per connection.
