namespace Marmot.TestKit.Disks;

/// <summary>Damages every byte of a file, one at a time, by one bit each, and puts it right again.</summary>
public static class BitFlips
{
    /// <summary>Runs a check for every byte of a range with one of its bits flipped; the bit is chosen by the seed.</summary>
    /// <param name="path">The file; closed by everybody else.</param>
    /// <param name="from">First byte.</param>
    /// <param name="to">Behind the last byte.</param>
    /// <param name="step">1 for each byte, more for a sample.</param>
    /// <param name="seed">Chooses the bits.</param>
    /// <param name="check">Gets the offset of the damaged byte; may change the file, which is restored afterwards.</param>
    public static async Task SweepAsync(string path, long from, long to, int step, int seed, Func<long, Task> check)
    {
        var random = new Random(seed);
        var original = await File.ReadAllBytesAsync(path);
        for (var offset = from; offset < to; offset += step)
        {
            var damaged = (byte[])original.Clone();
            damaged[offset] ^= (byte)(1 << random.Next(8));
            await File.WriteAllBytesAsync(path, damaged);
            await check(offset);
        }

        await File.WriteAllBytesAsync(path, original);
    }
}
