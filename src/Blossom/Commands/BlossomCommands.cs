using System.Diagnostics;
using System.Security.Cryptography;
using System.Text.Json;
using Marmot.Blossom.Auth;
using Marmot.Blossom.Blobs;
using Marmot.Blossom.Index;
using Marmot.Blossom.Policies;
using Marmot.Blossom.Storage;
using Marmot.Hosting;
using Marmot.Protocol.Encoding;
using Microsoft.Extensions.Options;

namespace Marmot.Blossom.Commands;

/// <summary>The operator's tools: <c>marmot-server blossom stats|list|delete|verify|import|export|gc</c>. They open the store themselves: with the embedded
/// index the server must be stopped.</summary>
/// <remarks>Exit codes: 0 done, 1 the thing asked for failed, 2 wrong usage or settings.</remarks>
public static class BlossomCommands
{
    private const string DropDamaged = "--drop-damaged";

    private const string Usage = """
        usage: marmot-server blossom COMMAND [--Section:Key=value ...] [--config FILE]

          stats            blobs, claims and bytes stored
          list             every claim as one JSON object a line
          delete SHA256    deletes a blob whoever holds it: overwritten, then unlinked
          verify           hashes every blob again; exit 1 when one is damaged or missing
          import FOLDER    takes every file of a folder whose name holds its SHA-256 (another server's storage)
          export FOLDER    writes every blob as a file named by its SHA-256
          gc [--drop-damaged]
                           deletes what has ended and bytes nobody holds; with claims that the disk has damaged only when they are given up

        With the embedded index the server must be stopped: it has one owner at a time. With Storage:Postgres it may go on running.
        """;

    /// <summary>The command words.</summary>
    public static IReadOnlyCollection<string> Names { get; } = ["stats", "list", "delete", "verify", "import", "export", "gc", "--help"];

    /// <summary>Runs one command; <paramref name="args"/> begins with its word.</summary>
    public static async Task<int> RunAsync(string[] args)
    {
        if (args is not [var word, ..] || !Names.Contains(word) || args.Contains("--help"))
        {
            await (args.Contains("--help") ? Console.Out : Console.Error).WriteLineAsync(Usage);
            return args.Contains("--help") ? 0 : 2;
        }

        var operand = args is ["gc", DropDamaged, ..] ? DropDamaged : args.Length > 1 && !args[1].StartsWith("--", StringComparison.Ordinal) ? args[1] : null;
        var needsOperand = word is "delete" or "import" or "export";
        if (needsOperand != operand is not null && operand != DropDamaged)
        {
            await Console.Error.WriteLineAsync(Usage);
            return 2;
        }

        var builder = MarmotHost.CreateBuilder(args[(operand is null ? 1 : 2)..]);
        builder.AddBlossom();
        await using var app = builder.Build();
        try
        {
            return await new Session(app.Services).RunAsync(word, operand ?? "");
        }
        catch (OptionsValidationException error)
        {
            await Console.Error.WriteLineAsync(string.Join(Environment.NewLine, error.Failures));
            return 2;
        }
        catch (Exception error) when (error is IOException or InvalidOperationException)
        {
            await Console.Error.WriteLineAsync(error.Message); // also: the index is locked by a running server, the database is another one's
            return 1;
        }
    }

    private sealed class Session(IServiceProvider services)
    {
        private readonly IBlobIndex _index = services.GetRequiredService<IBlobIndex>();
        private readonly IBlobStore _store = services.GetRequiredService<IBlobStore>();
        private readonly BlobService _blobs = services.GetRequiredService<BlobService>();
        private readonly long _started = Stopwatch.GetTimestamp();
        private long _shown;

        public async Task<int> RunAsync(string word, string operand)
        {
            await _index.ProbeAsync(CancellationToken.None);
            await _store.ProbeAsync(CancellationToken.None);
            if (_store is DiskBlobStore)
            {
                // Its lock is ours, so no server is at work on this folder. A bucket may have one, whose uploads under way are not ours to clear.
                await _store.RecoverAsync(CancellationToken.None);
                await _blobs.SettleAsync(CancellationToken.None);
            }

            return word switch
            {
                "stats" => await StatsAsync(),
                "list" => await ListAsync(),
                "delete" => await DeleteAsync(operand),
                "verify" => await VerifyAsync(),
                "import" => await ImportAsync(operand),
                "export" => await ExportAsync(operand),
                _ => await CollectAsync(operand == DropDamaged),
            };
        }

        private async Task<int> StatsAsync()
        {
            var totals = _index.Totals;
            var ended = 0;
            await foreach (var claim in _index.AllAsync(CancellationToken.None))
            {
                ended += claim.ExpiresAt <= Now ? 1 : 0;
            }

            Console.WriteLine(
                $$"""{"blobs":{{totals.Blobs}},"claims":{{totals.Claims}},"bytes":{{totals.Bytes}},"ended_claims":{{ended}}"""
                    + $$""","free_bytes":{{_store.FreeBytes}},"damaged_claims":{{_index.DamagedClaims}},"damaged_blobs":{{_store.DamagedBlobs}}}""");
            return 0;
        }

        private async Task<int> ListAsync()
        {
            await foreach (var claim in _index.AllAsync(CancellationToken.None))
            {
                Console.WriteLine(JsonSerializer.Serialize(new
                {
                    sha256 = claim.Hash.ToString(),
                    owner = claim.Owner.ToString(),
                    size = claim.Size,
                    type = claim.Type,
                    uploaded = claim.UploadedAt,
                    expires = claim.ExpiresAt,
                }));
            }

            return 0;
        }

        private async Task<int> DeleteAsync(string text)
        {
            if (!Bytes32.TryParseHex(text.AsSpan(), out var hash))
            {
                await Console.Error.WriteLineAsync("expected 64 lower-case hex digits");
                return 2;
            }

            if (await _blobs.RemoveBlobAsync(hash))
            {
                Console.WriteLine("deleted");
                return 0;
            }

            await Console.Error.WriteLineAsync("no such blob");
            return 1;
        }

        private async Task<int> VerifyAsync()
        {
            long whole = 0, damaged = 0, missing = 0, orphans = 0;
            var held = new HashSet<Bytes32>();
            await foreach (var claim in _index.AllAsync(CancellationToken.None))
            {
                if (!held.Add(claim.Hash))
                {
                    continue;
                }

                switch (await ExamineAsync(claim))
                {
                    case null when !_store.IsDamaged(new BlobPlace(claim.Hash, claim.Mark)):
                        missing++;
                        await Console.Error.WriteLineAsync($"missing {claim.Hash}");
                        break;
                    case not true:
                        damaged++;
                        await Console.Error.WriteLineAsync($"damaged {claim.Hash}");
                        break;
                    default:
                        whole++;
                        break;
                }

                Progress(held.Count, _index.Totals.Blobs);
            }

            await foreach (var (place, _) in _store.ListAsync(CancellationToken.None))
            {
                orphans += held.Contains(place.Hash) ? 0 : 1;
            }

            Console.WriteLine(
                $$"""{"whole":{{whole}},"damaged":{{damaged}},"missing":{{missing}},"unclaimed":{{orphans}},"damaged_claims":{{_index.DamagedClaims}}}""");
            return damaged + missing + _index.DamagedClaims == 0 ? 0 : 1;
        }

        private async Task<int> ImportAsync(string folder)
        {
            if (!Directory.Exists(folder))
            {
                await Console.Error.WriteLineAsync($"no such folder: {folder}");
                return 1;
            }

            long taken = 0, known = 0, refused = 0;
            var files = Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories).ToList();
            foreach (var path in files)
            {
                if (Path.GetFileName(path) is not { Length: >= Bytes32.HexSize } name || !BlobPath.TryParse(name, out var hash))
                {
                    continue;
                }

                // Nobody holds an imported blob by key; the zero key stands for the operator, and retention counts from now.
                var type = services.GetRequiredService<IOptions<BlossomOptions>>().Value.KeepsTypes
                    ? BlobTypes.TypeOf(Path.GetExtension(name))
                    : BlobTypes.Opaque;
                await using var draft = _store.Begin(hash);
                var (actual, size) = await CopyAsync(path, draft);
                if (actual != hash)
                {
                    refused++;
                    await Console.Error.WriteLineAsync($"not its hash: {name}");
                    continue;
                }

                var (_, isNew) = await _blobs.KeepAsync(draft, hash, size, type, default, null);
                _ = isNew ? taken++ : known++;
                Progress(taken + known + refused, files.Count);
            }

            Console.WriteLine($$"""{"imported":{{taken}},"known":{{known}},"refused":{{refused}}}""");
            return refused == 0 ? 0 : 1;
        }

        private async Task<int> ExportAsync(string folder)
        {
            Directory.CreateDirectory(folder);
            long written = 0;
            await foreach (var claim in _index.AllAsync(CancellationToken.None))
            {
                var path = Path.Combine(folder, claim.Hash + BlobTypes.ExtensionOf(claim.Type));
                await using var reader = await _store.OpenAsync(new BlobPlace(claim.Hash, claim.Mark), CancellationToken.None);
                if (reader is null || File.Exists(path))
                {
                    continue;
                }

                await using (var file = new FileStream(path, FileMode.CreateNew))
                {
                    var pipe = System.IO.Pipelines.PipeWriter.Create(file, new System.IO.Pipelines.StreamPipeWriterOptions(leaveOpen: true));
                    await reader.CopyToAsync(pipe, 0, claim.Size, CancellationToken.None);
                    await pipe.CompleteAsync();
                    file.Flush(flushToDisk: true);
                }

                Progress(++written, _index.Totals.Blobs);
            }

            Console.WriteLine($$"""{"exported":{{written}}}""");
            return 0;
        }

        private async Task<int> CollectAsync(bool dropDamaged)
        {
            var dropped = dropDamaged ? await _index.DropDamagedAsync(CancellationToken.None) : 0;
            long ended = 0;
            while (await _blobs.FindExpiredAsync(1024, CancellationToken.None) is { Count: > 0 } hashes)
            {
                foreach (var hash in hashes)
                {
                    ended += await _blobs.RemoveExpiredAsync(hash) ? 1 : 0;
                }
            }

            var orphans = await _blobs.RemoveOrphansAsync(CancellationToken.None);
            Console.WriteLine($$"""{"ended":{{ended}},"unclaimed":{{orphans}},"dropped_claims":{{dropped}}}""");
            if (_index.DamagedClaims == 0)
            {
                return 0;
            }

            await Console.Error.WriteLineAsync(
                $"{_index.DamagedClaims} claims cannot be read any more, so bytes without a claim are kept: they may be theirs. "
                    + $"'blossom gc {DropDamaged}' gives the claims up, and with them the bytes.");
            return 1;
        }

        private static long Now => DateTimeOffset.UtcNow.ToUnixTimeSeconds();

        /// <summary>Whether the bytes are the claim's; null when there are none.</summary>
        private async Task<bool?> ExamineAsync(BlobClaim claim)
        {
            await using var reader = await _store.OpenAsync(new BlobPlace(claim.Hash, claim.Mark), CancellationToken.None);
            if (reader is null)
            {
                return null;
            }

            try
            {
                if (await reader.GetLengthAsync(CancellationToken.None) != claim.Size)
                {
                    return false;
                }

                using var hash = new HashingSink();
                var pipe = System.IO.Pipelines.PipeWriter.Create(hash, new System.IO.Pipelines.StreamPipeWriterOptions(leaveOpen: true));
                await reader.CopyToAsync(pipe, 0, claim.Size, CancellationToken.None);
                await pipe.CompleteAsync();
                return hash.Finish() == claim.Hash;
            }
            catch (FileNotFoundException)
            {
                return null;
            }
        }

        private static async Task<(Bytes32 Hash, long Size)> CopyAsync(string path, BlobDraft draft)
        {
            await using var file = File.OpenRead(path);
            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            var buffer = new byte[128 * 1024];
            int read;
            while ((read = await file.ReadAsync(buffer)) > 0)
            {
                hash.AppendData(buffer, 0, read);
                await draft.AppendAsync(new System.Buffers.ReadOnlySequence<byte>(buffer, 0, read), CancellationToken.None);
            }

            return (new Bytes32(hash.GetHashAndReset()), file.Length);
        }

        /// <summary>At most ten times a second, on a terminal only.</summary>
        private void Progress(long done, long all)
        {
            if (Console.IsErrorRedirected)
            {
                return;
            }

            var tick = (long)(Stopwatch.GetElapsedTime(_started).TotalSeconds * 10);
            if (tick != _shown || done == all)
            {
                _shown = tick;
                Console.Error.Write($"\r{done} of {all} ({100.0 * done / Math.Max(1, all):0} %)");
                if (done == all)
                {
                    Console.Error.WriteLine();
                }
            }
        }
    }
}
