using System.Buffers;
using System.Net;
using System.Net.Sockets;
using Marmot.Blossom.Blobs;
using Marmot.Blossom.Index;
using Marmot.Blossom.Policies;
using Marmot.Blossom.Storage;
using Marmot.Hosting;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Options;

namespace Marmot.Blossom.Endpoints;

/// <summary>Plain downloads of blobs on this machine's disk, from the bytes of the connection to the bytes on the socket, without the HTTP server in
/// between.</summary>
/// <remarks>
/// It answers 200 and 206 and nothing else, as <see cref="BlobEndpoint"/> would. The first request of a connection that is not a plain download, or whose
/// blob is not there, stays unread and goes to the HTTP server with all that follow. Each phase of a connection has one deadline, which bytes that arrive do
/// not extend: waiting for a request, its head, and each piece of a body by the slowest rate allowed.
/// </remarks>
internal sealed class DownloadShortcut(
    IBlobIndex index, IBlobStore store, UploadPolicy policy, BlobReads reads, BlossomMetrics metrics, TimeProvider time, IOptions<BlossomOptions> options,
        IOptions<KestrelServerOptions> kestrel) : IConnectionShortcut
{
    private const int SmallBytes = 16 * 1024;
    private const int ChunkBytes = 128 * 1024;

    public async Task RunAsync(ConnectionContext connection, ConnectionDelegate onward)
    {
        if (options.Value.Blobs == BlobStorage.Disk && !options.Value.RequireGetToken
            && connection.Features.Get<IConnectionSocketFeature>()?.Socket is { } socket && !await ServeAsync(connection, socket))
        {
            return;
        }

        await onward(connection);
    }

    /// <returns>True when a request stands unread that is not for here; false when the connection has ended.</returns>
    private async ValueTask<bool> ServeAsync(ConnectionContext connection, Socket socket)
    {
        var input = connection.Transport.Input;
        using var patience = new CancellationTokenSource();
        await using var closing = connection.Features.Get<IConnectionLifetimeNotificationFeature>()?.ConnectionClosedRequested.Register(input.CancelPendingRead)
            ?? default;
        var examined = 0L;
        try
        {
            patience.CancelAfter(kestrel.Value.Limits.KeepAliveTimeout);
            while (true)
            {
                var read = await input.ReadAsync(patience.Token);
                var result = DownloadRequest.TryRead(read.Buffer, out var request, out var end);
                if (read.IsCanceled || (read.IsCompleted && read.Buffer.IsEmpty))
                {
                    return false;
                }

                if (result == RequestResult.Incomplete && !read.IsCompleted)
                {
                    if (examined == 0)
                    {
                        patience.CancelAfter(kestrel.Value.Limits.RequestHeadersTimeout); // from the first byte of the head on
                    }

                    examined = read.Buffer.Length;
                    input.AdvanceTo(read.Buffer.Start, read.Buffer.End);
                    continue;
                }

                if (result != RequestResult.Complete || await FindAsync(request, (connection.RemoteEndPoint as IPEndPoint)?.Address) is not { } found)
                {
                    // What came last counts as unseen, so that the next reader does not wait for more.
                    input.AdvanceTo(read.Buffer.Start, read.Buffer.GetPosition(examined));
                    return true;
                }

                examined = 0;
                input.AdvanceTo(end);
                await using (found.Reader)
                {
                    await SendAsync(socket, found, patience);
                }

                patience.CancelAfter(kestrel.Value.Limits.KeepAliveTimeout);
            }
        }
        catch (Exception error)
            when (error is OperationCanceledException or IOException or SocketException or ObjectDisposedException or ConnectionAbortedException)
        {
            connection.Abort(); // gone, too slow, or the blob is shorter than it should be: a body cut short must not look whole
            return false;
        }
    }

    /// <summary>The blob and the part of it that is asked for, or null when the answer is not a plain one.</summary>
    private async ValueTask<Found?> FindAsync(DownloadRequest request, IPAddress? peer)
    {
        // Whom a proxy speaks for is found by the HTTP server alone, and matters as soon as anybody is blocked.
        if (policy.IsBlocked(request.Hash) || (policy.BlocksAddresses && (request.IsForwarded || policy.IsBlocked(peer))))
        {
            return null;
        }

        try
        {
            if (await index.FindAsync(request.Hash, CancellationToken.None) is not { } entry)
            {
                return null;
            }

            ByteRange? range = null;
            if (request.Range is not null && ByteRanges.TryRead(request.Range, entry.Size, out var ranges))
            {
                if (ranges is not [var only])
                {
                    return null;
                }

                range = only;
            }

            return await store.OpenAsync(entry.Place, CancellationToken.None) is LocalBlobReader reader ? new Found(entry, reader, range) : null;
        }
        catch (IOException)
        {
            return null; // the endpoint meets it again and says so
        }
    }

    private async ValueTask SendAsync(Socket socket, Found found, CancellationTokenSource patience)
    {
        var (entry, reader, range) = found;
        var (offset, left) = range is { } part ? (part.Offset, part.Length) : (0, entry.Size);
        reads.Note(entry.Hash);
        metrics.Sent(left);
        metrics.Answered(BlobEndpoint.Route, range is null ? 200 : 206);
        var buffer = ArrayPool<byte>.Shared.Rent(left + BlobHead.MaxBytes <= SmallBytes ? SmallBytes : ChunkBytes);
        try
        {
            var filled = BlobHead.Write(buffer, entry, range, time.GetUtcNow());
            while (true)
            {
                var read = left == 0 ? 0 : reader.Read(buffer.AsSpan(filled, (int)Math.Min(buffer.Length - filled, left)), offset);
                if (read == 0 && left > 0)
                {
                    throw new EndOfStreamException("blob file is shorter than its index entry");
                }

                (offset, left) = (offset + read, left - read);
                if (buffer.Length >= ChunkBytes)
                {
                    patience.CancelAfter(TimeFor(filled + read)); // before, since the deadline of the phase before may pass while pieces leave at once
                }

                var sending = socket.SendAsync(buffer.AsMemory(0, filled + read), patience.Token); // all of it
                if (!sending.IsCompleted)
                {
                    patience.CancelAfter(TimeFor(filled + read));
                }

                await sending;
                if (left == 0)
                {
                    return;
                }

                filled = 0;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>How long a piece of a body may take to leave.</summary>
    private TimeSpan TimeFor(int bytes) => options.Value.SlowDownloadGrace + TimeSpan.FromSeconds((double)bytes / options.Value.MinDownloadBytesPerSecond);

    private sealed record Found(BlobEntry Entry, LocalBlobReader Reader, ByteRange? Range);
}
