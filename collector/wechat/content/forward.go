package content

import (
	"html"
	"strconv"
	"strings"

	"tidemark/record"
)

// maxNested is how deep merged forwards are followed into each other.
const maxNested = 8

// itemTypes are the numbers of items in a merged forward [B; 3, 19 and 32 C].
var itemTypes = map[int64]string{
	1: record.TypeText, 2: record.TypeImage, 3: record.TypeVoice, 4: record.TypeVideo, 5: record.TypeLink, 6: record.TypeLocation,
	8: record.TypeFile, 17: record.TypeForward, 19: record.TypeMiniProgram, 22: record.TypeChannel, 23: record.TypeChannel,
	32: record.TypeMusic, 37: record.TypeSticker,
}

// forward reads a merged forward or a note, which is one too where it has items.
func (d *decoder) forward(app *node) {
	f := &record.Forward{Title: app.get("title"), Description: app.child("des").value()}
	d.out.Body = &record.Body{Forward: f}
	info := d.recordInfo(app.child("recorditem"))
	if info == nil {
		if d.out.Type != record.TypeNote { // a note may be its description alone
			d.lacking()
		}
		return
	}
	inner := d.items(info, 1)
	f.Items = inner.Items
	f.Title, f.Description = first(f.Title, inner.Title), first(f.Description, inner.Description)
}

// recordInfo is the recordinfo in an element: as an element, or as text that is XML
// itself, in CDATA or escaped [A].
func (d *decoder) recordInfo(n *node) *node {
	if info := n.find("recordinfo"); info != nil {
		return info
	}
	text := n.value()
	if text == "" {
		return nil
	}
	if !strings.Contains(text, "<") && strings.Contains(text, "&lt;") {
		text = html.UnescapeString(text) // escaped twice
	}
	return d.parse([]byte(text)).find("recordinfo")
}

func (d *decoder) items(info *node, depth int) *record.Forward {
	f := &record.Forward{Title: info.get("title"), Description: info.child("desc").value()}
	list := info.child("datalist")
	if list == nil {
		d.fault(faultLacking)
		return f
	}
	for _, n := range list.children {
		if !strings.EqualFold(n.name, "dataitem") {
			continue
		}
		f.Items = append(f.Items, d.item(n, depth))
	}
	return f
}

func (d *decoder) item(n *node, depth int) record.ForwardItem {
	number, _ := strconv.ParseInt(n.get("datatype"), 10, 64) // 0 when it is no number, and so unknown
	it := record.ForwardItem{
		Type: itemTypes[number], DataType: number, ID: n.get("dataid"),
		Sender: n.get("sourcename"), SentAt: n.get("sourcetime"),
		Title: n.get("datatitle"), Text: n.child("datadesc").value(),
		Format: n.get("datafmt"), Bytes: n.number("datasize"), MD5: n.get("fullmd5"),
	}
	if it.Type == "" {
		it.Type = record.TypeUnknown
	}
	switch it.Type {
	case record.TypeLink, record.TypeMusic, record.TypeMiniProgram, record.TypeUnknown:
		it.URL = first(n.get("link", "streamweburl", "url"), n.child("weburlitem").get("link", "url"))
		it.Title = first(it.Title, n.child("weburlitem").get("title"))
	case record.TypeLocation:
		place := n.child("locitem")
		it.Title = first(it.Title, place.get("poiname"))
		it.Text = first(it.Text, place.get("label"))
	case record.TypeChannel:
		it.Title = first(it.Title, n.child("finderFeed").get("nickname"), n.child("finderLive").get("nickname"))
		it.Text = first(it.Text, n.child("finderFeed").get("desc"), n.child("finderLive").get("desc"))
	case record.TypeForward:
		d.nested(&it, n, depth)
	}
	switch it.Type {
	case record.TypeImage, record.TypeVoice, record.TypeVideo, record.TypeFile, record.TypeSticker:
		d.out.Hints.Items = append(d.out.Hints.Items, Item{
			ID: it.ID, Type: it.Type, MD5: sum(it.MD5), Name: it.Title, Format: it.Format, Bytes: it.Bytes,
		})
	}
	return it
}

// nested follows a record inside an item. Deeper ones than maxNested are in the row only,
// and the message says so.
func (d *decoder) nested(it *record.ForwardItem, n *node, depth int) {
	if depth >= maxNested {
		d.fault(faultNested)
		return
	}
	info := d.recordInfo(n.child("recordxml"))
	if info == nil {
		info = n.child("recordinfo")
	}
	if info == nil {
		d.fault(faultLacking)
		return
	}
	it.Forward = d.items(info, depth+1)
}
