using System.Text;
using Marmot.Platform.Files;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;

namespace Marmot.Blossom.Reports;

/// <summary>What was reported about one blob and not acknowledged yet.</summary>
/// <param name="Hash">The blob.</param>
/// <param name="Count">How many reports.</param>
/// <param name="Reporters">From how many keys.</param>
/// <param name="Types">The kinds of report (NIP-56), most frequent first.</param>
/// <param name="LastAt">Date of the newest, unix seconds, as its author says.</param>
/// <param name="Texts">What the newest three say.</param>
internal sealed record ReportedBlob(Bytes32 Hash, int Count, int Reporters, IReadOnlyList<string> Types, long LastAt, IReadOnlyList<string> Texts);

/// <summary>The file of reports (BUD-09): appended to by callers, grouped by blob for the operator, shortened when he has acknowledged.</summary>
internal sealed class ReportFile(BlossomFolders folders) : IDisposable
{
    private const long MaxBytes = 64L * 1024 * 1024;
    private const int MaxTexts = 3;
    private const int MaxTextLength = 300; // characters shown of a report
    private readonly SemaphoreSlim _writing = new(1, 1);

    /// <summary>Keeps a report; false when the file is full.</summary>
    public async Task<bool> TryAppendAsync(NostrEvent report, CancellationToken cancel)
    {
        await _writing.WaitAsync(cancel);
        try
        {
            await using var file = new FileStream(folders.Reports, FileMode.Append, FileAccess.Write, FileShare.Read);
            if (file.Length > MaxBytes)
            {
                return false;
            }

            await file.WriteAsync(report.Json, CancellationToken.None);
            await file.WriteAsync("\n"u8.ToArray(), CancellationToken.None);
            file.Flush(flushToDisk: true);
            return true;
        }
        finally
        {
            _writing.Release();
        }
    }

    /// <summary>The reports by blob, most reported first.</summary>
    public async Task<IReadOnlyList<ReportedBlob>> GroupAsync(CancellationToken cancel)
    {
        var groups = new Dictionary<Bytes32, List<(NostrEvent Report, string Type)>>();
        foreach (var line in await ReadAsync(cancel))
        {
            if (NostrEvent.TryParse(line, out var report, out _))
            {
                foreach (var (hash, type) in Blobs(report!))
                {
                    (groups.TryGetValue(hash, out var group) ? group : groups[hash] = []).Add((report!, type));
                }
            }
        }

        return [.. groups.Select(group => Describe(group.Key, group.Value)).OrderByDescending(group => group.Count).ThenBy(group => group.Hash)];
    }

    /// <summary>Takes the reports about a blob away: the operator has dealt with them. How many there were.</summary>
    public async Task<int> AcknowledgeAsync(Bytes32 hash, CancellationToken cancel)
    {
        await _writing.WaitAsync(cancel);
        try
        {
            var kept = new MemoryStream();
            var removed = 0;
            foreach (var line in await ReadAsync(cancel))
            {
                if (NostrEvent.TryParse(line, out var report, out _) && Blobs(report!).Any(blob => blob.Hash == hash))
                {
                    removed++; // one that names other blobs too is about them all, and goes with the first
                    continue;
                }

                kept.Write(line);
                kept.WriteByte((byte)'\n');
            }

            if (removed > 0)
            {
                AtomicFile.Replace(folders.Reports, kept.ToArray());
            }

            return removed;
        }
        finally
        {
            _writing.Release();
        }
    }

    public void Dispose() => _writing.Dispose();

    /// <summary>The blobs a report names, and as what (NIP-56: the third element).</summary>
    private static IEnumerable<(Bytes32 Hash, string Type)> Blobs(NostrEvent report)
    {
        foreach (var tag in report.Tags)
        {
            if (tag is ["x", var text, ..] && Bytes32.TryParseHex(text.AsSpan(), out var hash))
            {
                yield return (hash, tag.Length > 2 ? tag[2] : "other");
            }
        }
    }

    private static ReportedBlob Describe(Bytes32 hash, List<(NostrEvent Report, string Type)> reports) => new(
        hash,
        reports.Count,
        reports.Select(one => one.Report.PublicKey).Distinct().Count(),
        [.. reports.GroupBy(one => one.Type, StringComparer.Ordinal).OrderByDescending(type => type.Count()).Select(type => type.Key).Take(MaxTexts)],
        reports.Max(one => one.Report.CreatedAt),
        [.. reports.OrderByDescending(one => one.Report.CreatedAt).Select(one => one.Report.Content).Where(text => text.Length > 0).Take(MaxTexts)
            .Select(text => text.Length <= MaxTextLength ? text : text[..MaxTextLength] + "...")]);

    private async Task<List<byte[]>> ReadAsync(CancellationToken cancel)
    {
        var lines = new List<byte[]>();
        if (File.Exists(folders.Reports))
        {
            foreach (var line in await File.ReadAllLinesAsync(folders.Reports, cancel))
            {
                if (line.Length > 0)
                {
                    lines.Add(Encoding.UTF8.GetBytes(line));
                }
            }
        }

        return lines;
    }
}
