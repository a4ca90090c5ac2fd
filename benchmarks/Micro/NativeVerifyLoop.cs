using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;

namespace Marmot.Benchmarks.Micro;

/// <summary>The same signatures verified by a C loop, compiled on the spot with the machine's own compiler.</summary>
internal sealed class NativeVerifyLoop : IDisposable
{
    private readonly string _folder;
    private readonly Process _process;

    private NativeVerifyLoop(string folder, Process process)
    {
        _folder = folder;
        _process = process;
    }

    /// <summary>Builds and starts the loop; null with a sentence saying what is missing.</summary>
    public static NativeVerifyLoop? TryStart(ReadOnlySpan<byte> records, out string? missing)
    {
        var folder = Directory.CreateTempSubdirectory("marmot-bench-").FullName;
        var program = Path.Combine(folder, "verify_loop");
        var data = Path.Combine(folder, "records");
        File.WriteAllBytes(data, records);
        try
        {
            using var compiler = Start("gcc", ["-O2", "-o", program, Path.Combine(AppContext.BaseDirectory, "verify_loop.c"), "-lsecp256k1"]);
            var errors = compiler.StandardError.ReadToEnd();
            compiler.WaitForExit();
            if (compiler.ExitCode != 0)
            {
                missing = errors.Contains("secp256k1", StringComparison.Ordinal)
                    ? "the header or library of libsecp256k1 is missing: apt-get install libsecp256k1-dev"
                    : errors;
                Directory.Delete(folder, recursive: true);
                return null;
            }
        }
        catch (Win32Exception)
        {
            missing = "gcc is missing: apt-get install gcc libc6-dev libsecp256k1-dev";
            Directory.Delete(folder, recursive: true);
            return null;
        }

        missing = null;
        return new NativeVerifyLoop(folder, Start(program, [data]));
    }

    /// <summary>One round; nanoseconds of CPU time.</summary>
    public long Run()
    {
        _process.StandardInput.WriteLine();
        _process.StandardInput.Flush();
        var line = _process.StandardOutput.ReadLine()
            ?? throw new InvalidOperationException("the C loop ended: it found a signature that does not verify");
        return long.Parse(line, CultureInfo.InvariantCulture);
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
