# A static binary and nothing else: no shell, no libc, not root.
#
#   docker run --network host tolkyn                                  calls within this network, by the printed code
#   docker run -p 8443:8443 -p 8443:8443/udp -p 7882:7882/udp -p 7882:7882 tolkyn serve --lan --advertise 192.168.1.5
#
# It is process 1 and has no supervisor: --restart on-failure starts it again after a crash.

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o /out/tolkyn ./cmd/tolkyn && mkdir /out/state

FROM scratch
COPY --from=build /out/tolkyn /tolkyn
# Secret and self-made certificates stay here: mount a volume to keep them over restarts.
COPY --from=build --chown=65532:65532 /out/state /state
ENV XDG_STATE_HOME=/state
VOLUME /state
USER 65532:65532
EXPOSE 8443/tcp 8443/udp 7882/udp 7882/tcp
ENTRYPOINT ["/tolkyn"]
CMD ["serve", "--lan"]
