using System.Net;
using System.Text;
using Marmot.Hosting;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.WebUtilities;

namespace Marmot.Relay.Connections;

/// <summary>Takes WebSocket handshakes for <c>/</c> straight from the transport, before the HTTP server, and passes every other connection on
/// untouched.</summary>
/// <remarks>
/// Who calls is found by the same <see cref="TrustedProxies"/> that the HTTP server's requests pass, who is refused by the same <see cref="ConnectionSet"/>.
/// An upgraded request keeps all of HTTP's objects alive, twice the memory of the connection itself, and copies each byte once more on its way
/// (docs/decisions/0015-shortcuts-before-the-http-server.md).
/// </remarks>
internal sealed class WebSocketShortcut(ConnectionSet connections, RelayIdentity identity, TrustedProxies proxies, TimeProvider clock) : IConnectionShortcut
{
    // As long as Kestrel gives a client for the head of its request.
    private static readonly TimeSpan HeadTimeout = TimeSpan.FromSeconds(30);

    public async Task RunAsync(ConnectionContext connection, ConnectionDelegate onward)
    {
        WebSocketRequest? request;
        try
        {
            request = await ReadAsync(connection);
        }
        catch (Exception exception) when (exception is OperationCanceledException or IOException or ConnectionAbortedException)
        {
            connection.Abort();
            return;
        }

        if (request is not { } handshake)
        {
            await onward(connection);
            return;
        }

        var address = proxies.Find((connection.RemoteEndPoint as IPEndPoint)?.Address, handshake.ForwardedFor);
        var (place, refusal) = await connections.AdmitAsync(address);
        if (place is null)
        {
            Encoding.ASCII.GetBytes($"HTTP/1.1 {refusal} {ReasonPhrases.GetReasonPhrase(refusal)}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
                connection.Transport.Output);
            await connection.Transport.Output.FlushAsync();
            return;
        }

        var extensions = connections.AgreeOnExtensions(handshake.Extensions);
        var answer = Encoding.ASCII.GetBytes(
            $"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "
                + $"websocket\r\nSec-WebSocket-Accept: {WebSocketRequest.Accept(handshake.Key)}\r\n"
                + $"{(extensions is null ? "" : $"Sec-WebSocket-Extensions: {extensions}\r\n")}\r\n");
        await connections.ServeAsync(new ClientTransport(connection, address, identity.SignedUrl("ws", handshake.Host), answer)
        {
            IsDeflating = extensions is not null,
        }, place);
    }

    // Null when it is the HTTP server's; the bytes then stand unread before it.
    private async ValueTask<WebSocketRequest?> ReadAsync(ConnectionContext connection)
    {
        var input = connection.Transport.Input;
        using var deadline = new CancellationTokenSource(HeadTimeout, clock);
        var examined = 0L;
        while (true)
        {
            var read = await input.ReadAsync(deadline.Token);
            var result = WebSocketRequest.TryRead(read.Buffer, out var request, out var end);
            if (result == RequestResult.Complete)
            {
                input.AdvanceTo(end);
                return request;
            }

            if (result == RequestResult.Other || read.IsCompleted)
            {
                // What came last counts as unseen, so that the next reader does not wait for more.
                input.AdvanceTo(read.Buffer.Start, read.Buffer.GetPosition(examined));
                return null;
            }

            examined = read.Buffer.Length;
            input.AdvanceTo(read.Buffer.Start, read.Buffer.End);
        }
    }
}
