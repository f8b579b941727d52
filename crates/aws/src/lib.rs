//! Observe and act through the AWS SDK.
