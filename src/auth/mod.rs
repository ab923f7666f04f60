//! Client side of the authdaemond socket protocol, account information, SASL server mechanisms.
