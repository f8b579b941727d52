//! The in-process door: an HTTP client for the AWS SDK that answers from the world, through the real wire protocols. The
//! SDK's serialisers, signers, retries and parsers all stay in play.

use aws_smithy_runtime_api::{
    client::{
        http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
        runtime_components::RuntimeComponents,
    },
    shared::IntoShared,
};
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;

use crate::{Disconnected, Sandbox};

/// The connector; give it to `aws_config::SdkConfig` as its HTTP client.
#[derive(Clone)]
pub struct Connector(Sandbox);

impl Sandbox {
    /// An HTTP client for the AWS SDK that never leaves the process.
    pub fn connector(&self) -> Connector {
        Connector(self.clone())
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connector")
    }
}

impl HttpClient for Connector {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        self.clone().into_shared()
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let sandbox = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = request
                .try_into_http1x()
                .map_err(|error| ConnectorError::user(error.into()))?
                .map(|body| body.bytes().map(Bytes::copy_from_slice).unwrap_or_default());
            let response = sandbox
                .answer(request)
                .await
                .map_err(|Disconnected| ConnectorError::io(Disconnected.into()))?
                .map(SdkBody::from);
            HttpResponse::try_from(response).map_err(|error| ConnectorError::user(error.into()))
        })
    }
}
