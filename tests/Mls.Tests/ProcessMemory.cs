using System.Globalization;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Marmot.Mls.Tests;

/// <summary>A secret that is looked for in memory. It is kept inverted, so that it does not find itself.</summary>
internal sealed class Needle
{
    private readonly byte[] _inverted;

    public Needle(string name, ReadOnlySpan<byte> secret)
    {
        Assert.True(secret.Length >= 16);
        (Name, _inverted) = (name, new byte[secret.Length]);
        for (var i = 0; i < secret.Length; i++) _inverted[i] = (byte)~secret[i];
    }

    public string Name { get; }

    /// <summary>Fills a buffer of the caller's with the inverted bytes: what is searched is inverted the same way.</summary>
    public bool IsIn(ReadOnlySpan<byte> inverted) => inverted.IndexOf(_inverted) >= 0;

    public bool IsInPlain(ReadOnlySpan<byte> bytes)
    {
        var inverted = new byte[bytes.Length];
        for (var i = 0; i < bytes.Length; i++) inverted[i] = (byte)~bytes[i];
        return IsIn(inverted);
    }
}

/// <summary>Everything this process can write to: heaps, stacks, native libraries' data. Linux only.</summary>
internal static unsafe class ProcessMemory
{
    private const int Window = 1 << 20;
    private const int Overlap = 256;

    /// <summary>The needles that are somewhere in memory.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static string[] Find(IReadOnlyCollection<Needle> needles)
    {
        var found = new HashSet<string>();
        // Native, so that the window, which holds what it searches, has a fixed place that can be left out.
        var window = (byte*)NativeMemory.Alloc(Window);
        using var memory = File.OpenHandle("/proc/self/mem");
        foreach (var (start, end) in Regions())
        {
            for (var at = start; at < end; at += Window - Overlap)
            {
                var span = new Span<byte>(window, (int)Math.Min(Window, end - at));
                int read;
                try
                {
                    read = RandomAccess.Read(memory, span, at);
                }
                catch (IOException)
                {
                    break; // not readable, or gone meanwhile
                }
                span = span[..read];
                var (windowStart, windowEnd) = ((long)window, (long)window + Window);
                if (at < windowEnd && at + read > windowStart)
                {
                    span.Slice((int)Math.Max(0, windowStart - at), (int)(Math.Min(at + read, windowEnd) - Math.Max(at, windowStart))).Clear();
                }

                foreach (ref var b in span) b = (byte)~b;
                foreach (var needle in needles)
                {
                    if (needle.IsIn(span)) found.Add(needle.Name);
                }
            }
        }
        NativeMemory.Clear(window, Window);
        NativeMemory.Free(window);
        return [.. found.Order()];
    }

    private static List<(long Start, long End)> Regions()
    {
        var regions = new List<(long, long)>();
        foreach (var line in File.ReadAllLines("/proc/self/maps"))
        {
            var parts = line.Split(' ', 3);
            if (!parts[1].StartsWith("rw", StringComparison.Ordinal) || line.EndsWith("[vvar]", StringComparison.Ordinal)) continue;
            var range = parts[0].Split('-');
            regions.Add((long.Parse(range[0], NumberStyles.HexNumber, CultureInfo.InvariantCulture),
                long.Parse(range[1], NumberStyles.HexNumber, CultureInfo.InvariantCulture)));
        }
        return regions;
    }
}
