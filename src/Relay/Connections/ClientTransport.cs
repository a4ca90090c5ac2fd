using System.IO.Pipelines;
using System.Net;
using Microsoft.AspNetCore.Connections;

namespace Marmot.Relay.Connections;

/// <summary>The bytes of one upgraded connection, either way, and what is known about who is at the other end.</summary>
internal sealed class ClientTransport
{
    private readonly PipeWriter? _writer;
    private readonly Action _abort;

    /// <summary>Straight on the transport: the handshake was read by <see cref="WebSocketShortcut"/>.</summary>
    public ClientTransport(ConnectionContext connection, string relayUrl)
    {
        Input = connection.Transport.Input;
        _writer = connection.Transport.Output;
        Output = _writer.AsStream(leaveOpen: true);
        _abort = connection.Abort;
        RelayUrl = relayUrl;
        Address = (connection.RemoteEndPoint as IPEndPoint)?.Address;
    }

    /// <summary>On the stream of an HTTP request that was upgraded, e.g. inside TLS.</summary>
    public ClientTransport(HttpContext context, Stream stream, string relayUrl)
    {
        Input = PipeReader.Create(stream, new StreamPipeReaderOptions(leaveOpen: true, useZeroByteReads: true));
        Output = stream;
        _abort = context.Abort;
        RelayUrl = relayUrl;
        Address = context.Connection.RemoteIpAddress;
    }

    public PipeReader Input { get; }

    public Stream Output { get; }

    /// <summary>permessage-deflate was agreed on (RFC 7692).</summary>
    public bool IsDeflating { get; init; }

    /// <summary>The URL the client used, for NIP-42.</summary>
    public string RelayUrl { get; }

    /// <summary>Where it comes from; kept in memory only, never logged.</summary>
    public IPAddress? Address { get; }

    public void Abort() => _abort();

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
