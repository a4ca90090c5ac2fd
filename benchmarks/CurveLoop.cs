using System.Buffers.Binary;
using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;

namespace Marmot.Benchmarks;

/// <summary>Curve operations in C with the same library, compiled on the spot: the bound of what is built on them.</summary>
internal sealed class CurveLoop : IDisposable
{
    private readonly string _folder;
    private readonly Process _process;

    private CurveLoop(string folder, Process process)
    {
        _folder = folder;
        _process = process;
    }

    /// <summary>Builds and starts the loop; null with a sentence saying what is missing.</summary>
    /// <param name="records">A secret key, then records as curve_loop.c describes them.</param>
    /// <param name="missing">What has to be installed.</param>
    public static CurveLoop? TryStart(ReadOnlySpan<byte> records, out string? missing)
    {
        var folder = Directory.CreateTempSubdirectory("marmot-bench-").FullName;
        var program = Path.Combine(folder, "curve_loop");
        var data = Path.Combine(folder, "records");
        File.WriteAllBytes(data, records);
        try
        {
            using var compiler = Start("gcc", ["-O2", "-o", program, Path.Combine(AppContext.BaseDirectory, "curve_loop.c"), "-lsecp256k1"]);
            var errors = compiler.StandardError.ReadToEnd();
            compiler.WaitForExit();
            missing = compiler.ExitCode == 0 ? null : errors;
        }
        catch (Win32Exception)
        {
            missing = "gcc is missing";
        }

        if (missing is null)
        {
            return new CurveLoop(folder, Start(program, [data]));
        }

        missing += ": apt-get install gcc libc6-dev libsecp256k1-dev";
        Directory.Delete(folder, recursive: true);
        return null;
    }

    /// <summary>One round; nanoseconds of CPU and of wall time.</summary>
    public (long Cpu, long Wall) Run()
    {
        Begin();
        return End();
    }

    /// <summary>Writes the head of a record: how many signatures and then keys for shared points follow.</summary>
    public static void WriteCounts(Stream records, int verifications, int derivations)
    {
        Span<byte> counts = stackalloc byte[8];
        BinaryPrimitives.WriteInt32LittleEndian(counts, verifications);
        BinaryPrimitives.WriteInt32LittleEndian(counts[4..], derivations);
        records.Write(counts);
    }

    /// <summary>Writes a signature of a record.</summary>
    public static void WriteSigned(Stream records, in NostrEventView evt)
    {
        Span<byte> signature = stackalloc byte[64];
        Hex.TryDecodeLower(evt.SignatureHex, signature);
        records.Write(signature);
        records.Write(evt.Id.Span);
        records.Write(evt.PublicKey.Span);
    }

    /// <summary>Begins a round; <see cref="End"/> waits for it.</summary>
    public void Begin()
    {
        _process.StandardInput.WriteLine();
        _process.StandardInput.Flush();
    }

    /// <summary>Nanoseconds of CPU and of wall time of the round.</summary>
    public (long Cpu, long Wall) End()
    {
        var line = _process.StandardOutput.ReadLine() ?? throw new InvalidOperationException("the C loop ended: an operation failed");
        var parts = line.Split(' ');
        return (long.Parse(parts[0], CultureInfo.InvariantCulture), long.Parse(parts[1], CultureInfo.InvariantCulture));
    }

    public void Dispose()
    {
        _process.StandardInput.Close();
        _process.WaitForExit();
        _process.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private static Process Start(string program, string[] arguments) => Process.Start(new ProcessStartInfo(program, arguments)
    {
        RedirectStandardInput = true,
        RedirectStandardOutput = true,
        RedirectStandardError = true,
    })!;
}
