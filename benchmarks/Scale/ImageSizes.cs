using System.Diagnostics;
using System.Formats.Tar;
using System.IO.Compression;
using System.Text.Json;

namespace Marmot.Benchmarks.Scale;

/// <summary>What an image weighs, in bytes: unpacked, as it lies on a disk, and as a registry sends it, each layer by gzip; and how much of both is above the
/// base.</summary>
internal sealed record ImageSizes(long Unpacked, long Sent, long OwnUnpacked, long OwnSent)
{
    // The last stage of the Dockerfile: WORKDIR and three COPY.
    private const int OwnLayers = 4;

    /// <summary>Reads what <c>docker save</c> writes; null without Docker or the image.</summary>
    public static ImageSizes? Of(string image)
    {
        using var save = Process.Start(new ProcessStartInfo("docker", ["save", image]) { RedirectStandardOutput = true })!;
        var files = new Dictionary<string, (long Unpacked, long Sent)>(StringComparer.Ordinal);
        string[] layers = [];
        using (var archive = new TarReader(save.StandardOutput.BaseStream))
        {
            while (archive.GetNextEntry() is { } entry)
            {
                if (entry.Name == "manifest.json")
                {
                    using var manifest = JsonDocument.Parse(entry.DataStream!);
                    layers = [.. manifest.RootElement[0].GetProperty("Layers").EnumerateArray().Select(layer => layer.GetString()!)];
                }
                else if (entry.DataStream is { } content)
                {
                    files[entry.Name] = Weigh(content);
                }
            }
        }

        save.WaitForExit();
        if (save.ExitCode != 0 || layers.Length <= OwnLayers)
        {
            return null;
        }

        var weights = layers.Select(layer => files[layer]).ToList();
        var own = weights[^OwnLayers..];
        return new ImageSizes(weights.Sum(layer => layer.Unpacked), weights.Sum(layer => layer.Sent), own.Sum(layer => layer.Unpacked),
            own.Sum(layer => layer.Sent));
    }

    private static (long Unpacked, long Sent) Weigh(Stream content)
    {
        using var sent = new CountingStream();
        using var gzip = new GZipStream(sent, CompressionLevel.Optimal);
        var unpacked = 0L;
        var buffer = new byte[1 << 16];
        for (int read; (read = content.Read(buffer)) > 0; unpacked += read)
        {
            gzip.Write(buffer, 0, read);
        }

        gzip.Flush();
        return (unpacked, sent.Count);
    }

    private sealed class CountingStream : Stream
    {
        public long Count { get; private set; }

        public override bool CanRead => false;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => Count;

        public override long Position { get => Count; set => throw new NotSupportedException(); }

        public override void Write(byte[] buffer, int offset, int count) => Count += count;

        public override void Write(ReadOnlySpan<byte> buffer) => Count += buffer.Length;

        public override void Flush()
        {
        }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();
    }
}
