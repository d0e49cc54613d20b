# Two stages: the static binary, and an image with nothing else in it, not even a shell. All that
# is built is built by `make image-root`, which needs no container engine.

FROM rust:1.95.0-bookworm AS build
WORKDIR /src
COPY . .
# For --version: the sources come without their history.
ARG PORTCULLIS_COMMIT
RUN make image-root

# CA certificates and a user 65532, and no more.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /src/target/image/ /
COPY --from=build --chown=65532:65532 /src/target/image/var/lib/portcullis /var/lib/portcullis
COPY --from=build --chown=65532:65532 /src/target/image/run/portcullis /run/portcullis
USER 65532:65532
# gRPC and HTTP for proxies; webhooks; health, metrics and admin.
EXPOSE 9191 9192 9193 9194
# The revocations. Mount a volume here, or a restart forgets who is locked out.
VOLUME /var/lib/portcullis
ENTRYPOINT ["/usr/bin/portcullis"]
CMD ["serve", "--config", "/etc/portcullis/portcullis.yaml"]
