//! metrics-exporter
