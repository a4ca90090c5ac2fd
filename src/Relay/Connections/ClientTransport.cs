using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;

namespace Marmot.Relay.Connections;

/// <summary>The bytes of one upgraded connection, either way, and what is known about who is at the other end.</summary>
internal sealed class ClientTransport
{
    private const int TcpLevel = 6; // IPPROTO_TCP
    private const int TcpNotSentLowWaterMark = 25; // TCP_NOTSENT_LOWAT of Linux
    private const int MaxUnsentBytes = 128 * 1024;
    private const int HeldBytes = 64 * 1024;
    private readonly PipeWriter? _writer;
    private readonly Action _abort;

    /// <summary>Straight on the transport: the handshake was read by <see cref="WebSocketShortcut"/>, its answer is still to be sent.</summary>
    public ClientTransport(ConnectionContext connection, IPAddress? address, string? relayUrl, byte[] handshake)
    {
        Handshake = handshake;
        Socket = connection.Features.Get<IConnectionSocketFeature>()?.Socket;
        if (Socket is { } socket)
        {
            Prepare(socket);
        }

        Input = connection.Transport.Input;
        _writer = connection.Transport.Output;
        Output = _writer.AsStream(leaveOpen: true);
        _abort = connection.Abort;
        RelayUrl = relayUrl;
        Address = address;
    }

    /// <summary>On the stream of an HTTP request that was upgraded, e.g. inside TLS.</summary>
    public ClientTransport(HttpContext context, Stream stream, string? relayUrl)
    {
        Input = PipeReader.Create(stream, new StreamPipeReaderOptions(leaveOpen: true, useZeroByteReads: true));
        Output = stream;
        _abort = context.Abort;
        RelayUrl = relayUrl;
        Address = context.Connection.RemoteIpAddress;
    }

    public PipeReader Input { get; }

    public Stream Output { get; }

    /// <summary>Where <see cref="Output"/> ends, when nothing stands in between and nobody else writes; null inside TLS.</summary>
    public Socket? Socket { get; }

    /// <summary>What answers the opening handshake; empty when the HTTP server has.</summary>
    public byte[] Handshake { get; } = [];

    /// <summary>permessage-deflate was agreed on (RFC 7692).</summary>
    public bool IsDeflating { get; init; }

    /// <summary>The URL that an AUTH of this client has to name (NIP-42); null when none can be believed
    /// (<see cref="RelayIdentity.SignedUrl(string, string)"/>).</summary>
    public string? RelayUrl { get; }

    /// <summary>Where it comes from; kept in memory only, never logged.</summary>
    public IPAddress? Address { get; }

    public void Abort() => _abort();

    /// <summary>Takes next to nothing from the client for a time: what it sends waits in the system's buffers, and after them at the client.</summary>
    /// <remarks>Else each small packet of a flood would wake two threads, though nobody reads it yet.</remarks>
    public async Task HoldAsync(TimeSpan time, TimeProvider clock, CancellationToken cancel)
    {
        WakeAt(HeldBytes);
        try
        {
            await Task.Delay(time, clock, cancel);
        }
        finally
        {
            WakeAt(1);
        }
    }

    // A socket with fewer bytes than that does not count as readable.
    private void WakeAt(int bytes)
    {
        try
        {
            Socket?.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReceiveLowWater, bytes);
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
        {
            // gone, which the next read says, or a system that has no such mark
        }
    }

    // For Outbox; the transport's own reads are asynchronous either way.
    private static void Prepare(Socket socket)
    {
        socket.Blocking = false;
        if (OperatingSystem.IsLinux())
        {
            // Else the system takes 4 MiB for a client that does not read, and 200 of those are most of a gigabyte.
            Span<byte> bytes = stackalloc byte[sizeof(int)];
            MemoryMarshal.Write(bytes, MaxUnsentBytes);
            socket.SetRawSocketOption(TcpLevel, TcpNotSentLowWaterMark, bytes);
        }
    }

    public async ValueTask CloseAsync()
    {
        await Input.CompleteAsync();
        if (_writer is not null)
        {
            await _writer.CompleteAsync();
        }

        await Output.DisposeAsync();
    }
}
