using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Marmot.Blossom.Blobs;
using Marmot.Blossom.Index;
using Marmot.Blossom.Policies;
using Marmot.Blossom.Reports;
using Marmot.Blossom.Storage;
using Marmot.Hosting;
using Marmot.Hosting.Moderating;
using Marmot.Hosting.Operating;
using Marmot.Protocol.Encoding;
using Microsoft.Extensions.Options;

namespace Marmot.Blossom.Commands;

/// <summary>The operator's commands on the store of this process: a running server's, or one that was opened for the command.</summary>
internal sealed class StoreCommands(
    IBlobIndex index, IBlobStore store, BlobService blobs, UploadPolicy policy, ReportFile reports, Decisions decisions, BlossomFolders folders,
    IOptions<BlossomOptions> options, TimeProvider time) : IOperatorCommands
{
    private const string By = "command line";
    private static readonly JsonSerializerOptions Format = new() { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public string SocketPath => folders.OperatorSocket;

    private long Now => time.GetUtcNow().ToUnixTimeSeconds();

    public async Task<int> RunAsync(string[] args, CommandStreams streams, CancellationToken cancel)
    {
        if (BlossomCommandLine.TryRead(args, Now, out var mistake) is not { } line)
        {
            await streams.Say(mistake);
            return 2;
        }

        return await RunAsync(line, streams, cancel);
    }

    public Task<int> RunAsync(BlossomCommandLine line, CommandStreams streams, CancellationToken cancel) => line.Word switch
    {
        "stats" => StatsAsync(streams, cancel),
        "list" => ListAsync(line, streams, cancel),
        "delete" => DeleteAsync(line, streams, cancel),
        "verify" => VerifyAsync(streams, cancel),
        "import" => ImportAsync(line.Folder!, streams, cancel),
        "export" => ExportAsync(line.Folder!, streams, cancel),
        "reports" => ReportsAsync(line, streams, cancel),
        _ => CollectAsync(line.DropDamaged, streams, cancel),
    };

    private static async Task WriteAsync(CommandStreams streams, object line, CancellationToken cancel) =>
        await streams.Output.WriteAsync(Encoding.UTF8.GetBytes(JsonSerializer.Serialize(line, Format) + "\n"), cancel);

    private static void Progress(CommandStreams streams, System.Diagnostics.Stopwatch watch, long done, long all)
    {
        var rate = done / Math.Max(0.001, watch.Elapsed.TotalSeconds);
        var left = TimeSpan.FromSeconds((all - done) / Math.Max(0.001, rate));
        streams.Progress(string.Create(
            CultureInfo.InvariantCulture,
                $"{done:N0} of {all:N0} ({100.0 * done / Math.Max(1, all):0} %), {rate:N0}/s, {(long)left.TotalHours}:{left:mm\\:ss} left"));
    }

    // What is deleted stays so; a trail that cannot be written is said.
    private async Task RecordAsync(CommandStreams streams, string action, string target, string reason, CancellationToken cancel)
    {
        try
        {
            await decisions.RecordAsync(action, target, reason, By, cancel);
        }
        catch (IOException error)
        {
            await streams.Say($"done, but not in the audit trail: {error.Message}");
        }
    }

    private async Task<int> StatsAsync(CommandStreams streams, CancellationToken cancel)
    {
        var totals = index.Totals;
        var ended = 0;
        await foreach (var claim in index.AllAsync(cancel))
        {
            ended += claim.ExpiresAt <= Now ? 1 : 0;
        }

        await WriteAsync(streams, new
        {
            blobs = totals.Blobs,
            claims = totals.Claims,
            bytes = totals.Bytes,
            ended_claims = ended,
            free_bytes = store.FreeBytes,
            damaged_claims = index.DamagedClaims,
            damaged_blobs = store.DamagedBlobs,
        }, cancel);
        return 0;
    }

    private async Task<int> ListAsync(BlossomCommandLine line, CommandStreams streams, CancellationToken cancel)
    {
        var listed = 0;
        await foreach (var claim in index.AllAsync(cancel))
        {
            if (!line.Query.Matches(claim, blobs))
            {
                continue;
            }

            await WriteAsync(streams, new
            {
                sha256 = claim.Hash.ToString(),
                owner = claim.Owner.ToString(),
                size = claim.Size,
                type = claim.Type,
                uploaded = claim.UploadedAt,
                expires = claim.ExpiresAt,
                read = claim.ReadAt == 0 ? (long?)null : claim.ReadAt,
            }, cancel);
            if (++listed == line.Limit)
            {
                break;
            }
        }

        return 0;
    }

    private async Task<int> DeleteAsync(BlossomCommandLine line, CommandStreams streams, CancellationToken cancel)
    {
        if (line.Hashes.Count > 0)
        {
            var missing = 0;
            foreach (var hash in line.Hashes)
            {
                var isGone = await blobs.RemoveBlobAsync(hash);
                missing += isGone ? 0 : 1;
                await streams.Say(isGone ? "deleted" : $"no such blob: {hash}");
                if (isGone)
                {
                    await RecordAsync(streams, "delete-blob", hash.ToString(), "", cancel);
                }
            }

            return missing == 0 ? 0 : 1;
        }

        var found = await BlobSearch.FindAsync(index, blobs, line.Query, int.MaxValue, cancel);
        var what = string.Create(CultureInfo.InvariantCulture, $"{found.Count} blobs, {found.Sum(blob => blob.Size)} bytes");
        if (!line.Yes)
        {
            await streams.Say($"{what} would be deleted for good; the same command with --yes deletes them");
            return found.Count == 0 ? 0 : 1;
        }

        var removed = await BlobSearch.DeleteAsync(blobs, line.Query, found, cancel);
        await RecordAsync(streams, "delete-blobs", what, "", cancel);
        await streams.Say(string.Create(CultureInfo.InvariantCulture, $"{removed} deleted"));
        return 0;
    }

    private async Task<int> ReportsAsync(BlossomCommandLine line, CommandStreams streams, CancellationToken cancel)
    {
        if (line.Done is { } hash)
        {
            var count = await reports.AcknowledgeAsync(hash, cancel);
            if (count > 0)
            {
                await RecordAsync(streams, "acknowledge-reports", hash.ToString(), $"{count} reports", cancel);
            }

            await streams.Say($"{count} reports acknowledged");
            return count > 0 ? 0 : 1;
        }

        foreach (var blob in await reports.GroupAsync(cancel))
        {
            await WriteAsync(streams, new
            {
                sha256 = blob.Hash.ToString(),
                stored = await index.FindAsync(blob.Hash, cancel) is not null,
                reports = blob.Count,
                reporters = blob.Reporters,
                types = blob.Types,
                last = blob.LastAt,
                texts = blob.Texts,
            }, cancel);
        }

        return 0;
    }

    private async Task<int> VerifyAsync(CommandStreams streams, CancellationToken cancel)
    {
        long whole = 0, damaged = 0, missing = 0, orphans = 0;
        var held = new HashSet<Bytes32>();
        var watch = System.Diagnostics.Stopwatch.StartNew();
        await foreach (var claim in index.AllAsync(cancel))
        {
            if (!held.Add(claim.Hash))
            {
                continue;
            }

            var state = await ExamineAsync(claim, cancel);
            if (state != true && (await index.FindAsync(claim.Hash, cancel))?.Mark != claim.Mark)
            {
                continue; // deleted, or uploaded again, while it was looked at
            }

            switch (state)
            {
                case null when !store.IsDamaged(new BlobPlace(claim.Hash, claim.Mark)):
                    missing++;
                    await streams.Say($"missing {claim.Hash}");
                    break;
                case not true:
                    damaged++;
                    await streams.Say($"damaged {claim.Hash}");
                    break;
                default:
                    whole++;
                    break;
            }

            Progress(streams, watch, held.Count, index.Totals.Blobs);
        }

        await foreach (var (place, _) in store.ListAsync(cancel))
        {
            orphans += held.Contains(place.Hash) || await index.FindAsync(place.Hash, cancel) is not null ? 0 : 1;
        }

        await WriteAsync(streams, new { whole, damaged, missing, unclaimed = orphans, damaged_claims = index.DamagedClaims }, cancel);
        return damaged + missing + index.DamagedClaims == 0 ? 0 : 1;
    }

    private async Task<int> ImportAsync(string folder, CommandStreams streams, CancellationToken cancel)
    {
        if (!Directory.Exists(folder))
        {
            await streams.Say($"no such folder: {folder}");
            return 1;
        }

        long taken = 0, known = 0, refused = 0;
        var files = Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories).ToList();
        var watch = System.Diagnostics.Stopwatch.StartNew();
        foreach (var path in files)
        {
            if (Path.GetFileName(path) is not { Length: >= Bytes32.HexSize } name || !BlobPath.TryParse(name, out var hash))
            {
                continue;
            }

            // Nobody holds an imported blob by key; the zero key stands for the operator, and retention counts from now.
            var type = options.Value.KeepsTypes ? BlobTypes.TypeOf(Path.GetExtension(name)) : BlobTypes.Opaque;
            await using var draft = store.Begin(hash);
            var (actual, size) = await CopyAsync(path, draft, cancel);
            if (actual != hash || policy.IsBlocked(hash))
            {
                refused++;
                await streams.Say(actual != hash ? $"not its hash: {name}" : $"banned: {name}");
                continue;
            }

            var (_, isNew) = await blobs.KeepAsync(draft, hash, size, type, default, null);
            _ = isNew ? taken++ : known++;
            Progress(streams, watch, taken + known + refused, files.Count);
        }

        await WriteAsync(streams, new { imported = taken, known, refused }, cancel);
        return refused == 0 ? 0 : 1;
    }

    private async Task<int> ExportAsync(string folder, CommandStreams streams, CancellationToken cancel)
    {
        Directory.CreateDirectory(folder);
        long written = 0;
        var watch = System.Diagnostics.Stopwatch.StartNew();
        await foreach (var claim in index.AllAsync(cancel))
        {
            var path = Path.Combine(folder, claim.Hash + BlobTypes.ExtensionOf(claim.Type));
            await using var reader = await store.OpenAsync(new BlobPlace(claim.Hash, claim.Mark), cancel);
            if (reader is null || File.Exists(path))
            {
                continue;
            }

            await using (var file = new FileStream(path, FileMode.CreateNew))
            {
                var pipe = PipeWriter.Create(file, new StreamPipeWriterOptions(leaveOpen: true));
                await reader.CopyToAsync(pipe, 0, claim.Size, cancel);
                await pipe.CompleteAsync();
                file.Flush(flushToDisk: true);
            }

            Progress(streams, watch, ++written, index.Totals.Blobs);
        }

        await WriteAsync(streams, new { exported = written }, cancel);
        return 0;
    }

    private async Task<int> CollectAsync(bool dropDamaged, CommandStreams streams, CancellationToken cancel)
    {
        var dropped = dropDamaged ? await index.DropDamagedAsync(cancel) : 0;
        long ended = 0;
        while (await blobs.FindExpiredAsync(1024, cancel) is { Count: > 0 } hashes)
        {
            foreach (var hash in hashes)
            {
                ended += await blobs.RemoveExpiredAsync(hash) ? 1 : 0;
            }
        }

        long unread = 0;
        while (options.Value.EndUnreadAfter > TimeSpan.Zero && await blobs.RemoveUnreadAsync(options.Value.EndUnreadAfter, 1024, cancel) is > 0 and var some)
        {
            unread += some;
        }

        var orphans = await blobs.RemoveOrphansAsync(cancel);
        await WriteAsync(streams, new { ended, unread, unclaimed = orphans, dropped_claims = dropped }, cancel);
        if (index.DamagedClaims == 0)
        {
            return 0;
        }

        await streams.Say(
            $"{index.DamagedClaims} claims cannot be read any more, so bytes without a claim are kept: they may be theirs. "
            + "'blossom gc --drop-damaged' gives the claims up, and with them the bytes.");
        return 1;
    }

    /// <summary>Whether the bytes are the claim's; null when there are none.</summary>
    private async Task<bool?> ExamineAsync(BlobClaim claim, CancellationToken cancel)
    {
        await using var reader = await store.OpenAsync(new BlobPlace(claim.Hash, claim.Mark), cancel);
        if (reader is null)
        {
            return null;
        }

        try
        {
            if (await reader.GetLengthAsync(cancel) != claim.Size)
            {
                return false;
            }

            using var hash = new HashingSink();
            var pipe = PipeWriter.Create(hash, new StreamPipeWriterOptions(leaveOpen: true));
            await reader.CopyToAsync(pipe, 0, claim.Size, cancel);
            await pipe.CompleteAsync();
            return hash.Finish() == claim.Hash;
        }
        catch (FileNotFoundException)
        {
            return null;
        }
    }

    private static async Task<(Bytes32 Hash, long Size)> CopyAsync(string path, BlobDraft draft, CancellationToken cancel)
    {
        await using var file = File.OpenRead(path);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var buffer = new byte[128 * 1024];
        int read;
        while ((read = await file.ReadAsync(buffer, cancel)) > 0)
        {
            hash.AppendData(buffer, 0, read);
            await draft.AppendAsync(new ReadOnlySequence<byte>(buffer, 0, read), cancel);
        }

        return (new Bytes32(hash.GetHashAndReset()), file.Length);
    }
}
