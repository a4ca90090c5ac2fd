using System.Net.Sockets;
using System.Text;
using System.Text.Json;

namespace Marmot.Hosting.Operating;

/// <summary>Has a command carried out by the server that runs on a data folder.</summary>
public static class OperatorClient
{
    /// <summary>A connection to the server; null when none runs on that folder.</summary>
    public static async Task<OperatorChannel?> TryConnectAsync(string path)
    {
        if (!File.Exists(path))
        {
            return null;
        }

        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(path));
            return new OperatorChannel(new NetworkStream(socket, ownsSocket: true));
        }
        catch (Exception exception) when (exception is SocketException or ArgumentOutOfRangeException)
        {
            socket.Dispose(); // left behind by one that was killed, or too long a path for a socket
            return null;
        }
    }

    /// <summary>Sends the command and what it reads, and hands out what it writes.</summary>
    /// <returns>The exit code.</returns>
    /// <exception cref="IOException">The server went away.</exception>
    public static async Task<int> RunAsync(OperatorChannel server, string[] args, CommandStreams streams)
    {
        ArgumentNullException.ThrowIfNull(server);
        ArgumentNullException.ThrowIfNull(streams);
        await server.WriteAsync(OperatorFrame.Command, JsonSerializer.SerializeToUtf8Bytes(args), CancellationToken.None);
        using var done = new CancellationTokenSource();
        var sending = SendInputAsync(server, streams.Input, done.Token);
        while (await server.ReadAsync(CancellationToken.None) is var (kind, payload))
        {
            switch (kind)
            {
                case OperatorFrame.Output:
                    await streams.Output.WriteAsync(payload);
                    break;
                case OperatorFrame.Words:
                    await streams.Say(Encoding.UTF8.GetString(payload.Span));
                    break;
                case OperatorFrame.Progress:
                    streams.Progress(Encoding.UTF8.GetString(payload.Span));
                    break;
                case OperatorFrame.Exit when payload.Length == 1:
                    await done.CancelAsync();
                    _ = sending; // a terminal's input is not waited for
                    return payload.Span[0];
            }
        }

        throw new IOException("the server went away before the command was done");
    }

    private static async Task SendInputAsync(OperatorChannel server, Stream input, CancellationToken cancel)
    {
        var buffer = new byte[OperatorChannel.MaxFrameBytes];
        try
        {
            int read;
            do
            {
                read = await input.ReadAsync(buffer, cancel);
                await server.WriteAsync(OperatorFrame.Input, buffer.AsMemory(0, read), cancel);
            }
            while (read > 0);
        }
        catch (Exception exception) when (exception is IOException or OperationCanceledException or ObjectDisposedException)
        {
            // the server has what it wanted, or is gone, and the reader of its answers says so
        }
    }
}
