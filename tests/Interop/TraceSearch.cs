using System.Text;

namespace Marmot.Interop;

/// <summary>Looks for a secret in bytes in each form a careless program would leave it: raw, hex in both cases, base64 at every alignment.</summary>
internal sealed class TraceSearch
{
    private readonly List<(string Form, byte[] Bytes)> _needles = [];

    internal TraceSearch(string name, ReadOnlySpan<byte> secret)
    {
        _needles.Add(($"{name}, raw", secret.ToArray()));
        _needles.Add(($"{name}, hex", Encoding.ASCII.GetBytes(Convert.ToHexStringLower(secret))));
        _needles.Add(($"{name}, HEX", Encoding.ASCII.GetBytes(Convert.ToHexString(secret))));
        for (int before = 0; before < 3; before++)
        {
            // The characters that depend on the secret alone, whatever stands before and after it.
            string text = Convert.ToBase64String([.. new byte[before], .. secret]).TrimEnd('=');
            int first = ((before * 8) + 5) / 6;
            int last = (before + secret.Length) * 8 / 6;
            string inner = text[first..last];
            _needles.Add(($"{name}, base64", Encoding.ASCII.GetBytes(inner)));
            _needles.Add(($"{name}, base64url", Encoding.ASCII.GetBytes(inner.Replace('+', '-').Replace('/', '_'))));
        }
    }

    /// <summary>The forms found; empty when the secret left no trace.</summary>
    internal IEnumerable<string> FindIn(byte[] haystack) =>
        _needles.Where(needle => haystack.AsSpan().IndexOf(needle.Bytes) >= 0).Select(needle => needle.Form).Distinct();
}
