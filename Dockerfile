# A static binary in an image that holds nothing else but CA certificates and a user without rights.
FROM rust:1.95-bookworm AS build
WORKDIR /src
# The set-up changes seldom: a layer of its own.
COPY Cargo.toml ./
COPY scripts scripts
RUN scripts/setup static
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/target \
    cp "$(CARGO_TARGET_DIR=/target scripts/build-release --static)" /hooksluice && mkdir /data

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /hooksluice /usr/bin/hooksluice
# A new volume takes its owner from here.
COPY --from=build --chown=nonroot:nonroot /data /data
VOLUME /data
WORKDIR /data
EXPOSE 8080 9090
ENTRYPOINT ["/usr/bin/hooksluice"]
CMD ["serve", "--config", "/etc/hooksluice/hooksluice.yaml"]
