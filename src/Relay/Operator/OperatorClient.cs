using System.Net.Sockets;
using System.Text;
using System.Text.Json;

namespace Marmot.Relay.Operator;

/// <summary>Has a command carried out by the relay that runs on a store.</summary>
internal static class OperatorClient
{
    /// <summary>A connection to the relay; null when none runs on that store.</summary>
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

    /// <returns>The exit code.</returns>
    /// <exception cref="IOException">The relay went away.</exception>
    public static async Task<int> RunAsync(OperatorChannel relay, string[] args, CommandStreams streams)
    {
        await relay.WriteAsync(OperatorFrame.Command, JsonSerializer.SerializeToUtf8Bytes(args), CancellationToken.None);
        using var done = new CancellationTokenSource();
        var sending = SendInputAsync(relay, streams.Input, done.Token);
        while (await relay.ReadAsync(CancellationToken.None) is var (kind, payload))
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

        throw new IOException("the relay went away before the command was done");
    }

    private static async Task SendInputAsync(OperatorChannel relay, Stream input, CancellationToken cancel)
    {
        var buffer = new byte[OperatorChannel.MaxFrameBytes];
        try
        {
            int read;
            do
            {
                read = await input.ReadAsync(buffer, cancel);
                await relay.WriteAsync(OperatorFrame.Input, buffer.AsMemory(0, read), cancel);
            }
            while (read > 0);
        }
        catch (Exception exception) when (exception is IOException or OperationCanceledException or ObjectDisposedException)
        {
            // the relay has what it wanted, or is gone, and the reader of its answers says so
        }
    }
}
