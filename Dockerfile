# The daemon alone: no shell, no package manager, not root. `docker build -t tidegate .`
FROM rust:1.95-slim-trixie AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked -p tidegate && cp target/release/tidegate /tidegate
# There is no shell in the image below to make it with.
RUN mkdir /ledger

FROM gcr.io/distroless/cc-debian13:nonroot
LABEL org.opencontainers.image.title="tidegate" \
      org.opencontainers.image.description="Keeps an Amazon ECS release and the PostgreSQL schema it shares in step" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /tidegate /tidegate
# A fresh volume takes its owner from here: 65532 is the user `nonroot`, and a folder of root's could not be written.
COPY --from=build --chown=65532:65532 /ledger /ledger
# Reached by the load balancer or a sidecar of the same task only: bind what your network allows, and nothing more.
ENV TIDEGATE_LISTEN=0.0.0.0:8470 \
    TIDEGATE_LEDGER=/ledger/tidegate.sqlite
VOLUME ["/ledger"]
EXPOSE 8470
# SIGTERM: the daemon ends the pass under way and sends nothing new.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=20s CMD ["/tidegate", "healthcheck"]
ENTRYPOINT ["/tidegate"]
CMD ["run"]
