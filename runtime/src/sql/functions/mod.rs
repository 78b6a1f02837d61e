//! The function table: name, signature, result type, nullability, volatility and kernel.
