using System.Globalization;
using System.Text;
using QRCoder;

namespace Marmot.Hosting.ConsolePages;

/// <summary>A QR code as an inline drawing: one path of dark squares on white, so that cameras read it in a dark page too.</summary>
public static class QrCode
{
    /// <summary>Draws a text.</summary>
    /// <param name="html">The page.</param>
    /// <param name="text">What the code says.</param>
    /// <param name="label">What it is, for who does not see it.</param>
    public static void Write(HtmlWriter html, string text, string label)
    {
        ArgumentNullException.ThrowIfNull(html);
        using var generator = new QRCodeGenerator();
        using var code = generator.CreateQrCode(text, QRCodeGenerator.ECCLevel.M);
        var size = code.ModuleMatrix.Count; // the quiet zone included
        var path = new StringBuilder();
        for (var y = 0; y < size; y++)
        {
            var row = code.ModuleMatrix[y];
            for (var x = 0; x < size; x++)
            {
                var run = 0;
                while (x + run < size && row[x + run])
                {
                    run++;
                }

                if (run > 0)
                {
                    path.Append(CultureInfo.InvariantCulture, $"M{x} {y}h{run}v1h-{run}z");
                    x += run;
                }
            }
        }

        html.Add($"""<svg class="qr" role="img" aria-label="{label}" viewBox="0 0 {size} {size}" shape-rendering="crispEdges">""");
        html.Add($"""<rect width="{size}" height="{size}" fill="#fff"/><path fill="#000" d="{path}"/></svg>""");
    }
}
