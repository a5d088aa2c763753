# A static binary and nothing else: no shell, no libc, not root.
#
#   docker run --network host tolkyn                                  calls within this network, by the printed code
#   docker run -p 8443:8443 -p 7882:7882/udp -p 7882:7882 tolkyn serve --lan --advertise 192.168.1.5

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o /out/tolkyn ./cmd/tolkyn && mkdir /out/state

FROM scratch
COPY --from=build /out/tolkyn /tolkyn
# The self-made certificate stays here: mount a volume to keep it over restarts.
COPY --from=build --chown=65532:65532 /out/state /state
ENV XDG_STATE_HOME=/state
VOLUME /state
USER 65532:65532
EXPOSE 8443/tcp 7882/udp 7882/tcp
ENTRYPOINT ["/tolkyn"]
CMD ["serve", "--lan"]
