using System.Collections.Concurrent;
using System.IO.Pipelines;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Marmot.Platform.Files;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Marmot.Hosting.Operating;

/// <summary>Carries out operator's commands on the store of this running server, which no other process can open: a local socket in the server's
/// folder.</summary>
/// <remarks>Who may open the data directory, which is its owner's alone, may command the server; nothing else is asked.</remarks>
/// <param name="commands">What it can do.</param>
/// <param name="log">Hears of a socket that cannot be opened.</param>
public sealed class OperatorSocket(IOperatorCommands commands, ILogger<OperatorSocket> log) : BackgroundService
{
    private readonly ConcurrentDictionary<Task, byte> _running = new();
    private readonly string _path = commands.SocketPath;
    private Socket? _listener;

    /// <summary>Open before the server counts as started.</summary>
    public override Task StartAsync(CancellationToken cancellationToken)
    {
        Folders.CreateOwnerOnly(Path.GetDirectoryName(_path)!);
        var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            File.Delete(_path); // of one that was killed: the store's lock is ours
            listener.Bind(new UnixDomainSocketEndPoint(_path));
            if (!OperatingSystem.IsWindows())
            {
                File.SetUnixFileMode(_path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            }

            listener.Listen();
            _listener = listener;
        }
        catch (Exception exception) when (exception is SocketException or ArgumentOutOfRangeException or IOException or UnauthorizedAccessException)
        {
            OperatingLog.NoSocket(log, exception.Message);
            listener.Dispose();
        }

        return base.StartAsync(cancellationToken);
    }

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var listener = _listener;
        if (listener is null)
        {
            return;
        }

        try
        {
            while (true)
            {
                var socket = await listener.AcceptAsync(stoppingToken);
                var running = Task.Run(() => ServeAsync(socket, stoppingToken), CancellationToken.None);
                _running.TryAdd(running, 0);
                _ = running.ContinueWith(ended => _running.TryRemove(ended, out _), CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously,
                    TaskScheduler.Default);
            }
        }
        catch (OperationCanceledException)
        {
            await Task.WhenAll(_running.Keys); // before the writer stops
        }
        finally
        {
            File.Delete(_path);
        }
    }

    private async Task ServeAsync(Socket socket, CancellationToken stopping)
    {
        using var channel = new OperatorChannel(new NetworkStream(socket, ownsSocket: true));
        using var gone = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        var receiving = Task.CompletedTask;
        try
        {
            if (await channel.ReadAsync(gone.Token) is not (OperatorFrame.Command, var command))
            {
                return;
            }

            var args = JsonSerializer.Deserialize<string[]>(command.Span) ?? [];
            var input = new Pipe();
            receiving = ReceiveAsync(channel, input.Writer, gone);
            var exitCode = await RunAsync(args, channel, input.Reader, gone.Token);
            await channel.WriteAsync(OperatorFrame.Exit, new[] { (byte)exitCode }, gone.Token);
        }
        catch (Exception exception) when (exception is OperationCanceledException or IOException or JsonException)
        {
            // the command was given up, or the server stops
        }
        catch (Exception exception)
        {
            OperatingLog.CommandFailed(log, exception);
        }

        await gone.CancelAsync();
        await receiving;
    }

    private async Task<int> RunAsync(string[] args, OperatorChannel channel, PipeReader input, CancellationToken cancel)
    {
        var progress = new ProgressSender(channel, cancel);
        var streams = new CommandStreams(
            input.AsStream(), new OutputSender(channel), text => channel.WriteAsync(OperatorFrame.Words, Encoding.UTF8.GetBytes(text), cancel)
                .AsTask(), progress.Send);
        try
        {
            return await commands.RunAsync(args, streams, cancel);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            await channel.WriteAsync(OperatorFrame.Words, Encoding.UTF8.GetBytes(exception.Message), cancel);
            return 1;
        }
        finally
        {
            await progress.Last;
        }
    }

    // The command's input; when the other side goes away, what it asked for is given up.
    private static async Task ReceiveAsync(OperatorChannel channel, PipeWriter input, CancellationTokenSource gone)
    {
        try
        {
            while (await channel.ReadAsync(gone.Token) is (OperatorFrame.Input, var piece))
            {
                if (piece.IsEmpty)
                {
                    await input.CompleteAsync();
                }
                else
                {
                    await input.WriteAsync(piece, gone.Token);
                }
            }

            await gone.CancelAsync();
        }
        catch (Exception exception) when (exception is OperationCanceledException or IOException or InvalidOperationException)
        {
            await gone.CancelAsync();
        }

        await input.CompleteAsync(new OperationCanceledException()); // nothing when it was complete before
    }

    /// <summary>Sends how far it is, unless the one before is still under way.</summary>
    private sealed class ProgressSender(OperatorChannel channel, CancellationToken cancel)
    {
        public Task Last { get; private set; } = Task.CompletedTask;

        public void Send(string text)
        {
            if (Last.IsCompleted)
            {
                Last = SendAsync(text);
            }
        }

        private async Task SendAsync(string text)
        {
            try
            {
                await channel.WriteAsync(OperatorFrame.Progress, Encoding.UTF8.GetBytes(text), cancel);
            }
            catch (Exception exception) when (exception is OperationCanceledException or IOException)
            {
                // the command itself will notice
            }
        }
    }

    private sealed class OutputSender(OperatorChannel channel) : Stream
    {
        public override bool CanRead => false;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) =>
            buffer.IsEmpty ? default : channel.WriteAsync(OperatorFrame.Output, buffer, cancellationToken);

        public override void Flush()
        {
        }

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();
    }
}
