using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;

namespace Marmot.Benchmarks.Notify;

/// <summary>The curve operations of a set of triggers in C with the same library, compiled on the spot.</summary>
internal sealed class EcLoop : IDisposable
{
    private readonly string _folder;
    private readonly Process _process;

    private EcLoop(string folder, Process process)
    {
        _folder = folder;
        _process = process;
    }

    /// <summary>Builds and starts the loop; null with a sentence saying what is missing.</summary>
    public static EcLoop? TryStart(ReadOnlySpan<byte> records, out string? missing)
    {
        var folder = Directory.CreateTempSubdirectory("marmot-bench-").FullName;
        var program = Path.Combine(folder, "ec_loop");
        var data = Path.Combine(folder, "records");
        File.WriteAllBytes(data, records);
        try
        {
            using var compiler = Start("gcc", ["-O2", "-o", program, Path.Combine(AppContext.BaseDirectory, "ec_loop.c"), "-lsecp256k1"]);
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
            return new EcLoop(folder, Start(program, [data]));
        }

        missing += ": apt-get install gcc libc6-dev libsecp256k1-dev";
        Directory.Delete(folder, recursive: true);
        return null;
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
