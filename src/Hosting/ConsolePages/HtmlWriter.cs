using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Encodings.Web;

namespace Marmot.Hosting.ConsolePages;

/// <summary>Writes a page. What stands between the braces of an interpolated text is encoded; only the text itself is markup, so that no value can become
/// some.</summary>
/// <remarks>One thread.</remarks>
public sealed class HtmlWriter
{
    private readonly StringBuilder _text = new(16 * 1024);

    /// <summary>Writes markup with values.</summary>
    [SuppressMessage("Performance", "CA1822", Justification = "the handler writes into this writer, which the compiler hands to it")]
    public void Add([InterpolatedStringHandlerArgument("")] ref Handler markup) => _ = markup;

    /// <summary>Writes markup of ours that holds no value: a style sheet.</summary>
    internal void AddTrusted(string markup) => _text.Append(markup);

    /// <summary>The page so far.</summary>
    public override string ToString() => _text.ToString();

    /// <summary>Puts an interpolated text together.</summary>
    [InterpolatedStringHandler]
    public readonly struct Handler
    {
        private readonly HtmlWriter _writer;

        /// <summary>Begins a text.</summary>
        public Handler(int literalLength, int formattedCount, HtmlWriter writer) => _writer = writer;

        /// <summary>Markup.</summary>
        public void AppendLiteral(string text) => _writer._text.Append(text);

        /// <summary>A value: encoded.</summary>
        public void AppendFormatted(string? value) => _writer._text.Append(HtmlEncoder.Default.Encode(value ?? ""));

        /// <summary>A value: encoded.</summary>
        public void AppendFormatted<T>(T value) => AppendFormatted(Convert.ToString(value, CultureInfo.InvariantCulture));

        /// <summary>A value in a form: encoded.</summary>
        public void AppendFormatted<T>(T value, string format)
            where T : IFormattable => AppendFormatted(value.ToString(format, CultureInfo.InvariantCulture));
    }
}
